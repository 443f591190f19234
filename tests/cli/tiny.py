"""A recipe that trains within a second."""

KEYS = ("model.backbone=test_resnet", "model.weights=none", "data.size=32", "train.epochs=1", "train.batch_size=4")
TINY = ["--recipe", "paper", *(word for key in KEYS for word in ("--set", key))]
