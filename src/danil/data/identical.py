"""Identical files as one group: copies of a photograph must not stand on both sides of a split."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from danil.data.decoding import check_file
from danil.data.files import FileImages
from danil.data.manifest import DataError, Manifest


def digest(file: Path, title: str) -> str:
    """Return the file's SHA-256; a pipe or device, which would never end, is refused."""
    check_file(file, title)
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def with_identical_grouped(manifest: Manifest) -> Manifest:
    """Return the manifest with images of equal bytes in one group, named after the group's first image.

    Groups that were there are kept together with everything that shares an image with them.

    Raises:
        DataError: the images are not files of their own, or one cannot be read.
    """
    store = manifest.store
    if not isinstance(store, FileImages):
        raise DataError(f"`{manifest.source}`: `groups=identical` needs images in files of their own.")
    try:
        digests = [digest(store.file(path), path) for path in manifest.table["path"]]
    except OSError as error:
        raise DataError(f"`{manifest.source}`: `{error.filename}` cannot be read: {error.strerror}.") from error
    rows = np.arange(len(manifest))
    owners = [pd.factorize(np.asarray(values, dtype=object))[0] for values in (manifest.table["group"], digests)]
    nodes = np.concatenate([owners[0], owners[0].max() + 1 + owners[1]])
    size = len(rows) + int(nodes.max()) + 1
    edges = coo_array((np.ones(2 * len(rows)), (np.concatenate([rows, rows]), len(rows) + nodes)), shape=(size, size))
    component = connected_components(edges, directed=False)[1][: len(rows)]
    first = manifest.table["group"].groupby(component).transform("first")
    return replace(manifest, table=manifest.table.assign(group=first), grouped=True)
