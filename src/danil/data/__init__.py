"""Data: every set becomes a manifest, whose images become batches (floor 1)."""

from danil.data.atomic import write_atomically
from danil.data.audit import Audit, audit_data, write_audit
from danil.data.augmentation import Augmentation
from danil.data.dataset import Batch, Images
from danil.data.decoding import ImageError, read_image
from danil.data.files import FileImages, UnreadableImages, unreadable, without
from danil.data.listing import image_files
from danil.data.loading import loader
from danil.data.manifest import DataError, Manifest
from danil.data.shares import split_summary
from danil.data.sources import read_source
from danil.data.split_files import read_split, write_split
from danil.data.splits import assign_splits, folds, limit
from danil.data.transforms import resized, squared

__all__ = [
    "Audit", "Augmentation", "Batch", "DataError", "FileImages", "ImageError", "Images", "Manifest", "UnreadableImages",
    "assign_splits", "audit_data", "folds", "image_files", "limit", "loader", "read_image", "read_source", "read_split",
    "resized", "split_summary", "squared", "unreadable", "without", "write_atomically", "write_audit", "write_split",
]  # fmt: skip
