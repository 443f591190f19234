"""Data: manifests, readers, splits, decoding, transforms (floor 1)."""
