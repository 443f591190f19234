"""Reader `aptos2019`: fundus photographs graded for diabetic retinopathy (Kaggle, APTOS 2019)."""

from collections.abc import Mapping
from pathlib import Path

from danil.data.files import FileImages
from danil.data.listing import followed, found_images, image_of_each, placed_within
from danil.data.manifest import DataError, Manifest, assembled, counted
from danil.data.table import complete, read_table, required

OPTIONS = ("links",)
GRADES = ("0", "1", "2", "3", "4")


def read_aptos2019(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return the graded images of `train.csv` and `train_images/` (PNG as published, or JPEG).

    The task is `diagnosis`, grades `0` (none) to `4` (proliferative) in order. Patients are not known. The
    competition's own test images have no grades and are not read.

    Raises:
        DataError: no table, no images, missing columns or files, several images of one name, a value that is no grade.
    """
    table_file, folder = path / "train.csv", path / "train_images"
    if not table_file.is_file() or not folder.is_dir():
        raise DataError(f"`{path}` needs `train.csv` and `train_images/` in it. Give the folder that holds both.")
    links = followed(options)
    for place in (table_file, folder):
        placed_within(place, path, links)
    frame = read_table(table_file)
    required(frame, ("id_code", "diagnosis"), table_file)
    complete(frame, "id_code", table_file)
    if labelled:
        complete(frame, "diagnosis", table_file)
    files = image_of_each(folder, frame["id_code"], found_images(folder, links), "[^/]+")
    absent = [code for code in frame["id_code"] if code not in files]
    if absent:
        raise DataError(f"`{folder}` lacks {counted(absent, 'image')} of `train.csv`. Unpack the whole archive.")
    table = frame[["diagnosis"]].assign(path=[f"train_images/{files[code]}" for code in frame["id_code"]])
    return assembled(table, {"diagnosis": GRADES}, store=FileImages(path, links), source=f"aptos2019:{path}", root=path)
