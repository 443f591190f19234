"""Statistics: pure functions of arrays, no torch (floor 1)."""
