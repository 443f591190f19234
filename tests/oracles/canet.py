"""CANet's equations (docs/method.md), written out image by image and place by place."""

import math

import torch


def sigmoid(value):
    return 1 / (1 + math.exp(-float(value)))


def bottleneck(vector, first, second):
    return second @ torch.tensor([max(0.0, float(value)) for value in first @ vector], dtype=vector.dtype)


def channel_gate(features, first, second):
    gates = torch.empty(features.shape[:2], dtype=features.dtype)
    for image, maps in enumerate(features):
        mean = torch.stack([channel.sum() / channel.numel() for channel in maps])
        maximum = torch.stack([channel.flatten().sort().values[-1] for channel in maps])
        total = bottleneck(mean, first, second) + bottleneck(maximum, first, second)
        gates[image] = torch.tensor([sigmoid(value) for value in total], dtype=features.dtype)
    return gates


def spatial_gate(features, kernel, mean, variance, gain, shift, epsilon=1e-5):
    batch, _, height, width = features.shape
    gates = torch.empty((batch, height, width), dtype=features.dtype)
    for image in range(batch):
        for row in range(height):
            for column in range(width):
                total = 0.0
                for i in range(7):
                    for j in range(7):
                        y, x = row + i - 3, column + j - 3
                        if 0 <= y < height and 0 <= x < width:
                            place = features[image, :, y, x]
                            total += float(
                                kernel[0, 0, i, j] * max(place) + kernel[0, 1, i, j] * sum(place) / len(place)
                            )
                scaled = (total - float(mean)) / math.sqrt(float(variance) + epsilon) * float(gain) + float(shift)
                gates[image, row, column] = sigmoid(scaled)
    return gates


def crossed(features, first, second):
    rows = []
    for vector in features:
        gate = torch.tensor([sigmoid(2 * value) for value in bottleneck(vector, first, second)], dtype=vector.dtype)
        rows.append(vector * gate)
    return torch.stack(rows)
