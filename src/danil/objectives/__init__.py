"""Training objectives: guests in anyone's training loop (floor 0, torch only)."""
