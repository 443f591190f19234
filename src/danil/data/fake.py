"""Tiny made-up data in the real layout of each data set, for tests and for trying commands."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from danil.data import aptos2019, crc_msi, ham10000, idrid
from danil.data.atomic import write_atomically
from danil.data.fake_dicom import write_dicom
from danil.data.manifest import DataError

SIDE = 24


def write_fake(reader: str, folder: str | Path, images: int = 24, seed: int = 0) -> Path:
    """Write about so many made-up images as the reader expects them, and return the path to give to it.

    Classes take turns and differ in colour, so that a network learns them in a few steps.

    Raises:
        DataError: no such reader has a writer.
    """
    if reader not in WRITERS:
        raise DataError(f"`reader` is `{reader}`; made-up data exist for {', '.join(WRITERS)}.")
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    return WRITERS[reader](path, images, np.random.default_rng(seed))


def picture(rng: np.random.Generator, label: int, height: int = SIDE, width: int = SIDE) -> Image.Image:
    """Return noise in the colour of a class."""
    tint = np.array([(90 + 67 * label) % 256, (40 + 131 * label) % 256, (200 - 59 * label) % 256])
    return Image.fromarray(np.clip(tint + rng.normal(0, 25, (height, width, 3)), 0, 255).astype(np.uint8))


def save(image: Image.Image, file: Path) -> None:
    """Write an image in the format of its ending."""
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def write_rows(file: Path, rows: list[list[str]]) -> None:
    """Write a CSV file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_atomically(file, text.getvalue())


def write_folder(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write `CLASS/image.png` of two classes."""
    for number in range(images):
        label = ("benign", "malignant")[number % 2]
        save(picture(rng, number % 2), path / label / f"image_{number}.png")
    return path


def write_csv(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write `cohort.csv` (`image,label,patient,age`) and its images; two images of each patient."""
    rows = [["image", "label", "patient", "age"]]
    for number in range(images):
        label = number // 2 % 3
        save(picture(rng, label), path / "images" / f"{number}.png")
        rows.append([f"images/{number}.png", f"stage {label}", f"P{number // 2}", str(int(rng.integers(20, 90)))])
    write_rows(path / "cohort.csv", rows)
    return path / "cohort.csv"


def write_ham10000(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write metadata and JPEG images in both parts, all seven classes, two images of each lesion."""
    rows: list[list[str]] = [[*ham10000.COLUMNS]]
    for number in range(images):
        lesion = number // 2
        label = lesion % len(ham10000.CLASSES)
        image, site = f"ISIC_{number:07d}", ("back", "scalp", "unknown")[lesion % 3]
        age, sex = str(5.0 * int(rng.integers(4, 17))), ("male", "female")[int(rng.integers(2))]
        rows.append([f"HAM_{lesion:07d}", image, ham10000.CLASSES[label], "histo", age, sex, site])
        part = 1 + (number >= images // 2)
        save(picture(rng, label, SIDE, SIDE * 4 // 3), path / f"HAM10000_images_part_{part}" / f"{image}.jpg")
    write_rows(path / ham10000.METADATA[0], rows)
    return path


def write_aptos2019(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write `train.csv` and PNG images of all five grades."""
    rows = [["id_code", "diagnosis"]]
    for number in range(images):
        code, grade = f"{rng.integers(16**12):012x}", number % len(aptos2019.GRADES)
        rows.append([code, aptos2019.GRADES[grade]])
        save(picture(rng, grade, SIDE, SIDE * 4 // 3), path / "train_images" / f"{code}.png")
    write_rows(path / "train.csv", rows)
    return path


def write_crc_msi(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write tiles of both parts and classes, three of each patient."""
    places = [(folder, label) for folder in crc_msi.PARTS for label in range(len(crc_msi.CLASSES))]
    each = max(1, images // len(places))
    for place, (folder, label) in enumerate(places):
        for number in range(each):
            letters = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), 12))
            barcode = f"TCGA-A{place}-{number // 3:04d}-01Z-00-DX1"
            save(picture(rng, label), path / folder / crc_msi.CLASSES[label] / f"blk-{letters}-{barcode}.png")
    return path


def write_idrid(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write both tables, with the header's trailing blank and empty columns of the real one, and their JPEG images."""
    for letter, part, count in (("a", "Training", images - images // 4), ("b", "Testing", images // 4)):
        rows = [["Image name", "Retinopathy grade", "Risk of macular edema ", "", ""]]
        for number in range(1, count + 1):
            name, grade = f"IDRiD_{number:03d}", number % len(idrid.TASKS["DR"])
            rows.append([name, str(grade), str(number % len(idrid.TASKS["DME"])), "", ""])
            place = path / "1. Original Images" / f"{letter}. {part} Set"
            save(picture(rng, grade, SIDE, SIDE * 3 // 2), place / f"{name}.jpg")
        write_rows(path / "2. Groundtruths" / f"{letter}. IDRiD_Disease Grading_{part} Labels.csv", rows)
    return path


def write_medmnist(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write `fakemnist.npz` with the three official parts, three classes, 28 × 28 RGB."""
    arrays: dict[str, np.ndarray] = {}  # pyright: ignore[reportMissingTypeArgument]
    for part, count in (("train", images // 2), ("val", images // 4), ("test", images // 4)):
        labels = np.arange(count) % 3
        arrays[f"{part}_images"] = np.stack([np.asarray(picture(rng, int(label), 28, 28)) for label in labels])
        arrays[f"{part}_labels"] = labels.astype(np.uint8)[:, None]
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return write_atomically(path / "fakemnist.npz", content.getvalue())


WRITERS: Mapping[str, Callable[[Path, int, np.random.Generator], Path]] = {
    "folder": write_folder,
    "csv": write_csv,
    "ham10000": write_ham10000,
    "aptos2019": write_aptos2019,
    "crc_msi": write_crc_msi,
    "idrid": write_idrid,
    "dicom": write_dicom,
    "medmnist": write_medmnist,
}
"""Reader → the writer of its layout."""
