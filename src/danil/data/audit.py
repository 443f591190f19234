"""The audit of a data set: everything that could make results on it wrong, as numbers and findings."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from danil.data.atomic import write_atomically
from danil.data.audit_columns import Column, column_records
from danil.data.audit_copies import ExactDuplicates, NearDuplicates, exact_duplicates, near_duplicates
from danil.data.audit_findings import findings
from danil.data.audit_images import ImageFiles, Look, image_columns, image_files, looks
from danil.data.audit_split import (
    Classes,
    GroupOverlap,
    Parts,
    RandomSplit,
    classes,
    group_overlap,
    parts,
    random_split,
)
from danil.data.files import Progress
from danil.data.finding import Finding
from danil.data.manifest import Manifest
from danil.data.split_files import read_split


@dataclass(frozen=True)
class Audit:
    """Hold everything an audit found; the names of the fields are the keys of its JSON.

    `image_files`, `exact_duplicates` and `near_duplicates` need pixels and are `None` where only the metadata were
    examined. `errors` and `warnings` count findings.
    """

    source: str
    digest: str
    images: int
    grouped: bool
    metadata_only: bool
    classes: Classes
    image_files: ImageFiles | None
    exact_duplicates: ExactDuplicates | None
    near_duplicates: NearDuplicates | None
    split: Parts
    group_overlap: GroupOverlap
    random_split: RandomSplit | None
    columns: dict[str, Column]
    findings: list[Finding]
    errors: int
    warnings: int


def audit_data(
    manifest: Manifest,
    split: str | Path | None = None,
    *,
    metadata_only: bool = False,
    progress: Progress | None = None,
) -> Audit:
    """Return what is wrong with a data set and its split; every image is read unless only metadata are wanted.

    Args:
        manifest: the set; its own parts, if it has any, are examined unless `split` is given.
        split: a file written by `danil split`.
        metadata_only: examine the table alone.
        progress: told how many images have been read.

    Raises:
        DataError: the split file cannot be read or is not about these data.
    """
    whole = manifest if split is None else read_split(split, manifest)
    seen = None if metadata_only else looks(whole, progress)
    found = (*pixel_records(whole, seen), classes(whole), parts(whole, split), group_overlap(whole))
    files, exact, near, held, divided, overlap = found
    drawn = random_split(whole)
    columns = column_records(whole, image_columns(seen or []))
    told = findings(files, exact, near, held, divided, overlap, drawn, columns)
    return Audit(
        source=whole.source,
        digest=whole.digest(),
        images=len(whole),
        grouped=whole.grouped,
        metadata_only=metadata_only,
        classes=held,
        image_files=files,
        exact_duplicates=exact,
        near_duplicates=near,
        split=divided,
        group_overlap=overlap,
        random_split=drawn,
        columns=columns,
        findings=told,
        errors=sum(finding.severity == "error" for finding in told),
        warnings=sum(finding.severity == "warning" for finding in told),
    )


def pixel_records(
    manifest: Manifest, seen: Sequence[Look] | None
) -> tuple[ImageFiles | None, ExactDuplicates | None, NearDuplicates | None]:
    """Return what the images show, nothing where they were not looked at."""
    if seen is None:
        return None, None, None
    exact, distinct = exact_duplicates(manifest, seen)
    return image_files(manifest, seen), exact, near_duplicates(manifest, seen, distinct)


def write_audit(path: str | Path, found: Audit) -> Path:
    """Write an audit as JSON, atomically, and return the path."""
    return write_atomically(path, json.dumps(asdict(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
