"""The images of a run: found again, checked, and predicted from files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from danil.data import ImageError, read_source
from danil.data.manifest import Manifest
from danil.data.sources import relocated
from danil.runs.classifier import FittedClassifier
from danil.runs.folder import RunError, RunFolder


def run_manifest(folder: RunFolder, data: str | None = None) -> Manifest:
    """Return the images that a run used, with its split, from where they were or from `data`, where they are now.

    Raises:
        RunError: images are missing, or labels, groups or stored sizes differ from those the run was made with.
    """
    record = folder.record()
    found = read_source(record["source"] if data is None else relocated(record["source"], data))
    try:
        used = pd.read_csv(folder.manifest, dtype="string", keep_default_na=False, usecols=["path", "split"])
    except (OSError, ValueError) as error:
        raise RunError(f"`{folder.manifest}` cannot be read: {error}.") from error
    rows = pd.Index(found.table["path"]).get_indexer(pd.Index(used["path"]))
    missing = used["path"][rows < 0]
    if len(missing):
        raise RunError(
            f"{len(missing)} of the run's {len(used)} images are not in `{data or record['source']}`, e.g. "
            f"`{missing.iloc[0]}`. Say where the same data are now by `--data`."
        )
    manifest = found.take(rows)
    manifest = replace(manifest, table=manifest.table.assign(split=used["split"].replace("", pd.NA)))
    if manifest.digest() != record["digest"]:
        raise RunError(
            f"the images of `{data or record['source']}` are not those of `{folder.path}`: labels, groups or "
            "file sizes have changed (digest differs). Restore the data or train a new run."
        )
    return manifest


def predict_files(
    fitted: FittedClassifier,
    files: Sequence[Path],
    *,
    batch_size: int = 32,
    advance: Callable[[int], None] = lambda files: None,
) -> tuple[pd.DataFrame, list[ImageError]]:
    """Return a row per readable file, in order, and the errors of the others; `advance` is told how many are done."""
    tables: list[pd.DataFrame] = []
    faults: list[ImageError] = []
    for start in range(0, len(files), batch_size):
        names: list[str] = []
        prepared: list[Tensor] = []
        for file in files[start : start + batch_size]:
            try:
                prepared.append(fitted.display(file))
                names.append(str(file))
            except ImageError as error:
                faults.append(error)
        tables.append(fitted.predicted(names, [torch.cat(prepared)] if prepared else []))
        advance(min(start + batch_size, len(files)))
    return pd.concat(tables, ignore_index=True) if tables else fitted.predicted([], []), faults
