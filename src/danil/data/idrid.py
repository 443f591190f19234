"""Reader `idrid`: fundus photographs graded for retinopathy and macular oedema (IDRiD part B, Porwal et al. 2018)."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from danil.data.files import FileImages
from danil.data.listing import followed, found_images, hidden, image_of_each, placed_within
from danil.data.manifest import DataError, Manifest, assembled, counted
from danil.data.table import complete, read_table, required

OPTIONS = ("task", "links")
TASKS = {"DR": ("0", "1", "2", "3", "4"), "DME": ("0", "1", "2")}
COLUMNS = {"Image name": "name", "Retinopathy grade": "DR", "Risk of macular edema": "DME"}
PARTS = {"train": re.compile(r"train", re.IGNORECASE), "test": re.compile(r"test", re.IGNORECASE)}


def read_idrid(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return both official parts with two tasks, `DR` (0–4) and `DME` (0–2), grades in order; patients are not known.

    Tables and images are found by their official names (`… Disease Grading_Training Labels.csv`, a folder with
    `train` or `test` in its name), wherever below the folder they lie. Both parts number their images from 1.

    Args:
        path: the folder above tables and images.
        options: `task`: `DR` or `DME` alone, instead of both.
        labelled: off, grades may be empty.

    Raises:
        DataError: a table, a column or an image is missing, several images have one name, or a value is no grade.
    """
    chosen = list(TASKS) if "task" not in options else [options["task"]]
    if chosen[0] not in TASKS:
        raise DataError(f"`task` is `{chosen[0]}`; it must be `DR` or `DME`.")
    links = followed(options)
    images = found_images(path, links)
    parts = [graded(path, part, images, labelled, links) for part in PARTS]
    table = pd.concat(parts, ignore_index=True)[["path", *chosen, "split"]]
    tasks = {task: TASKS[task] for task in chosen}
    return assembled(table, tasks, store=FileImages(path, links), source=f"idrid:{path}", root=path)


def graded(path: Path, part: str, images: list[str], labelled: bool, links: bool) -> pd.DataFrame:
    """Return the rows of one part."""
    tables = [
        file
        for file in sorted(path.rglob("*Disease Grading*.csv"))
        if PARTS[part].search(file.name) and not any(map(hidden, file.relative_to(path).parts))
    ]
    if not tables:
        raise DataError(
            f"`{path}` has no table `…Disease Grading_{part.title()}ing Labels.csv`. Give the folder above."
        )
    placed_within(tables[0], path, links)
    frame = read_table(tables[0])
    required(frame, COLUMNS, tables[0])
    frame = frame[list(COLUMNS)].rename(columns=COLUMNS)
    for column in frame.columns if labelled else ["name"]:
        complete(frame, column, tables[0])
    of_part = [image for image in images if PARTS[part].search(str(PurePosixPath(image).parent))]
    files = image_of_each(path, frame["name"], of_part, r"(.*/)?(1\. )?Original Images/[^/]+/[^/]+")
    absent = [name for name in frame["name"] if name not in files]
    if absent:
        raise DataError(f"`{path}` lacks {counted(absent, 'image')} of its {part} table in a folder called `…{part}…`.")
    return frame.assign(path=[files[name] for name in frame["name"]], split=part)
