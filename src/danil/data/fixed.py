"""Images that must stay as they were when a run began."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from danil.data.decoding import ImageError
from danil.data.files import FileImages
from danil.data.manifest import Manifest

Stamp = tuple[int, int]
"""A file's size in bytes, and its time of change in nanoseconds, which is only ever compared for equality."""


@dataclass(frozen=True)
class FixedImages(FileImages):
    """Read images below a root folder, and refuse those that changed since their stamps were taken."""

    stamps: Mapping[str, Stamp | None] = field(default_factory=dict[str, "Stamp | None"])

    def read(self, path: str, shorter: int | None = None) -> Image.Image:
        """Return the image as `FileImages` does.

        Raises:
            ImageError: as there, or the file has vanished or changed.
        """
        was, now = self.stamps.get(path), stamp(self.file(path))
        if was is not None and now is None:
            raise ImageError(path, "has vanished since the run began. Put it back and go on with `--resume`.")
        if was is not None and now is not None and now != was:
            sizes = f"{was[0]} bytes then, {now[0]} now" if was[0] != now[0] else "its time of change is another"
            raise ImageError(path, f"has changed since the run began ({sizes}). Restore it and go on with `--resume`.")
        return super().read(path, shorter)


def stamp(file: Path) -> Stamp | None:
    """Return what tells a changed file, `None` where it is missing."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def fixed(manifest: Manifest) -> Manifest:
    """Return the manifest with images that must not change from now on; images made at run time cannot anyway."""
    store = manifest.store
    if type(store) is not FileImages:
        return manifest
    stamps = {path: stamp(store.file(path)) for path in manifest.table["path"]}
    return replace(manifest, store=FixedImages(store.root, store.links, store.depth, stamps))
