"""Training: one loop on Lightning Fabric (floor 3)."""
