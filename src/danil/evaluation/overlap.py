"""Images of another cohort that the run has been trained or validated on."""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path, PurePosixPath

from danil.data import FileImages, ImageError
from danil.data.dicom import DicomImages, frame_named
from danil.data.identical import digest
from danil.data.manifest import Manifest
from danil.evaluation.cohort_folder import cohort_place
from danil.evaluation.folder import read_manifest, read_record

BLIND = "Copies that were saved anew, scaled or cropped, and other images of the same patients, are not seen this way."


def training_overlap(run: Path, cohort: Manifest) -> tuple[str | None, str | None]:
    """Return, in words, how many of the cohort's images the run was trained or validated on, and what stays unknown.

    Files are compared by size and then by their bytes, those of training images that are not where they were by name
    alone. Images that are in no files of their own (arrays, synthetic ones) count where the cohort is the same set.

    Raises:
        EvaluationError: the run's manifest cannot be read.
    """
    table, record = read_manifest(run), read_record(run)
    trained = table.loc[table["split"].isin(("train", "validation")), "path"].tolist()
    theirs = stored_files(cohort)
    if not theirs:
        same = cohort_place(cohort.source) == cohort_place(str(record.get("source") or "")) if trained else False
        return told(len(set(trained) & set(cohort.table["path"])) if same else 0, 0, len(cohort)), None
    ours = files_there(record.get("root"), trained)
    equal = equal_files(ours.values(), theirs)
    gone = [path for path in trained if path not in ours]
    named = alike_named(gone, [path for path in cohort.table["path"] if path not in equal])
    blind = None
    if gone and record.get("root"):
        blind = (
            f"{len(gone):,} of the run's {len(trained):,} training and validation images are not at hand (in "
            f"`{record['root']}`): whether the cohort holds them could be told by their names alone."
        )
    return told(len(equal), len(named), len(cohort)), blind


def told(equal: int, named: int, images: int) -> str | None:
    """Return the counts as a warning, `None` where nothing was found."""
    sentences: list[str] = []
    if equal:
        sentences.append(
            f"{equal:,} of the cohort's {images:,} images are among those the run was trained or validated on, so the "
            f"results are too good. Leave them out. {BLIND}"
        )
    if named:
        sentences.append(
            f"{named:,} of the cohort's {images:,} images are named like images the run was trained or validated on, "
            "whose content is not at hand to compare. If they are the same, the results are too good: leave them out."
        )
    return " ".join(sentences) or None


def stored_files(cohort: Manifest) -> dict[str, Path]:
    """Return the file of each image; none where images are in no files of their own."""
    store = cohort.store
    found: dict[str, Path] = {}
    if not isinstance(store, (FileImages, DicomImages)):
        return found
    for path in cohort.table["path"]:
        try:
            found[path] = store.file(path) if isinstance(store, FileImages) else store.place(path)[0]
        except ImageError:
            continue
    return found


def files_there(root: str | None, paths: Iterable[str]) -> dict[str, Path]:
    """Return the files of a run's images that are still below its root."""
    if root is None:
        return {}
    files = {path: frame_named(f"{root}/{path}")[0] for path in paths}
    return {path: file for path, file in files.items() if file.is_file()}


def equal_files(ours: Iterable[Path], theirs: Mapping[str, Path]) -> set[str]:
    """Return which of their images have the bytes of one of our files; only files of equal sizes are read."""
    by_size: dict[int, set[Path]] = {}
    for file in set(ours):
        by_size.setdefault(file.stat().st_size, set()).add(file)

    @cache
    def contents(size: int) -> set[str]:
        return {digest(file, str(file)) for file in by_size[size]}

    found: set[str] = set()
    for path, file in theirs.items():
        try:
            size = file.stat().st_size
            if size in by_size and (file in by_size[size] or digest(file, str(file)) in contents(size)):
                found.add(path)
        except (OSError, ImageError):  # predicting it will say why
            continue
    return found


def alike_named(ours: Iterable[str], theirs: Iterable[str]) -> set[str]:
    """Return which of their paths end as one of ours does, or are the end of one: the roots may differ."""
    whole = set(ours)
    ends = {end for path in whole for end in endings(path)}
    return {path for path in theirs if path in ends or not whole.isdisjoint(endings(path))}


def endings(path: str) -> list[str]:
    """Return `a/b/c.png`, `b/c.png`, `c.png`."""
    parts = PurePosixPath(path).parts
    return ["/".join(parts[start:]) for start in range(len(parts))]
