"""Models: backbones over timm, weights, heads (floor 1)."""
