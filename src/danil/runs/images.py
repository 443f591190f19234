"""The images of a run: found again, checked, and predicted from files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from danil.data import DataError, ImageError, read_source
from danil.data.manifest import Manifest
from danil.data.sources import relocated
from danil.runs.classifier import FittedClassifier
from danil.runs.folder import RunError, RunFolder


def run_manifest(folder: RunFolder, data: str | None = None) -> Manifest:
    """Return the images that a run used, with its split, from where they were or from `data`, where they are now.

    Raises:
        RunError: the data cannot be read, images are missing, or labels, groups or stored sizes differ from those the
            run was made with.
    """
    record = folder.record()
    place, moved = data or record["source"], "Say where the same data are now by `--data`."
    try:
        found = read_source(record["source"] if data is None else relocated(record["source"], data))
    except DataError as error:
        raise RunError(f"the data of the run `{folder.path}` cannot be read from `{place}`: {error} {moved}") from error
    try:
        used = pd.read_csv(folder.manifest, dtype="string", keep_default_na=False, usecols=["path", "split"])
    except (OSError, ValueError) as error:
        raise RunError(f"`{folder.manifest}` cannot be read: {error}.") from error
    rows = pd.Index(found.table["path"]).get_indexer(pd.Index(used["path"]))
    missing = used["path"][rows < 0]
    if len(missing):
        raise RunError(
            f"{len(missing)} of the {len(used)} images of the run `{folder.path}` are not in `{place}`, e.g. "
            f"`{missing.iloc[0]}`. {moved}"
        )
    manifest = found.take(rows)
    manifest = replace(manifest, table=manifest.table.assign(split=used["split"].replace("", pd.NA)))
    if manifest.digest() != record["digest"]:
        raise RunError(
            f"the images of `{place}` are not those of `{folder.path}`: labels, groups or "
            "file sizes have changed (digest differs). Restore the data or train a new run."
        )
    return manifest


def scored_part(folder: RunFolder, data: str | None = None, limit: int | None = None) -> Manifest:
    """Return the labelled images of the run's test part, evenly spaced ones where limited.

    Raises:
        RunError: there is none, or as `run_manifest` says.
    """
    manifest = run_manifest(folder, data).part("test")
    manifest = manifest.take(np.flatnonzero(manifest.labels() >= 0))
    if not len(manifest):
        raise RunError(f"the test part of `{folder.path}` has no labelled images to score.")
    if limit is not None and limit < len(manifest):
        manifest = manifest.take(np.linspace(0, len(manifest) - 1, limit).round().astype(np.int64))
    return manifest


def predict_files(
    fitted: FittedClassifier,
    files: Sequence[Path],
    *,
    batch_size: int = 32,
    advance: Callable[[int], None] = lambda files: None,
) -> tuple[pd.DataFrame, list[ImageError]]:
    """Return a row per readable file, in order, and the errors of the others; `advance` is told how many are done.

    A DICOM file of several frames has a row, `FILE#FRAME`, for each frame that the run's data source takes.
    """
    tables: list[pd.DataFrame] = []
    faults: list[ImageError] = []
    for start in range(0, len(files), batch_size):
        images = [str(name) for file in files[start : start + batch_size] for name in fitted.each_frame(file)]
        for first in range(0, len(images), batch_size):
            names: list[str] = []
            prepared: list[Tensor] = []
            for image in images[first : first + batch_size]:
                try:
                    prepared.append(fitted.display(image))
                    names.append(image)
                except ImageError as error:
                    faults.append(error)
            tables.append(fitted.predicted(names, [torch.cat(prepared)] if prepared else []))
        advance(min(start + batch_size, len(files)))
    return pd.concat(tables, ignore_index=True) if tables else fitted.predicted([], []), faults
