"""Data: every set becomes a manifest, whose images become batches (floor 1)."""

from danil.data.atomic import write_atomically
from danil.data.decoding import ImageError, read_image
from danil.data.files import FileImages, UnreadableImages, image_files, unreadable, without
from danil.data.manifest import DataError, Manifest
from danil.data.sources import read_source
from danil.data.split_files import read_split, split_summary, write_split
from danil.data.splits import assign_splits, folds, limit

__all__ = [
    "DataError",
    "FileImages",
    "ImageError",
    "Manifest",
    "UnreadableImages",
    "assign_splits",
    "folds",
    "image_files",
    "limit",
    "read_image",
    "read_source",
    "read_split",
    "split_summary",
    "unreadable",
    "without",
    "write_atomically",
    "write_split",
]
