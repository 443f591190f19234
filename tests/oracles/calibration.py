"""The expected calibration error from its definition, bin by bin and image by image."""


def calibration_error(labels, probabilities, bins=15) -> float:
    """Return Σ over bins (open, closed] of their share of images · |share right − mean confidence|."""
    total = 0.0
    for place in range(bins):
        held = [
            (row.argmax() == label, row.max())
            for label, row in zip(labels, probabilities, strict=True)
            if place / bins < row.max() <= (place + 1) / bins
        ]
        total += abs(sum(right - confidence for right, confidence in held))
    return total / len(labels)
