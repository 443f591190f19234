"""Reader `crc_msi`: H&E tiles of colorectal cancer with and without microsatellite instability (Kather 2019)."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import pandas as pd

from danil.data.files import FileImages
from danil.data.listing import followed, found_images, placed_within
from danil.data.manifest import DataError, Manifest, assembled, counted

OPTIONS = ("links",)
PARTS = {"CRC_DX_TRAIN": "train", "CRC_DX_TEST": "test"}
CLASSES = ("MSIMUT", "MSS")
BARCODE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}")


def read_crc_msi(path: Path, options: Mapping[str, str], labelled: bool = True) -> Manifest:
    """Return the tiles of `CRC_DX_TRAIN/{MSIMUT,MSS}` and `CRC_DX_TEST/{MSIMUT,MSS}`, the official split.

    The group is the patient: the first three fields of the TCGA barcode in the file name.

    Raises:
        DataError: a folder is missing or empty, or a file name has no barcode.
    """
    rows: list[tuple[str, str, str, str]] = []
    nameless: list[str] = []
    links = followed(options)
    for folder, part in PARTS.items():
        for label in CLASSES:
            place = path / folder / label
            placed_within(place, path, links)
            images = found_images(place, links) if place.is_dir() else []
            if not images:
                raise DataError(f"`{place}` is missing or holds no images. Unpack the archive `{folder}.zip` there.")
            for image in images:
                barcode = BARCODE.search(PurePosixPath(image).name)
                nameless += [image] if barcode is None else []
                rows.append((f"{folder}/{label}/{image}", label, barcode[0] if barcode else "", part))
    if nameless:
        raise DataError(f"`{path}`: {counted(nameless, 'file')} without a TCGA barcode (TCGA-XX-XXXX) in the name.")
    table = pd.DataFrame(rows, columns=["path", "label", "group", "split"])
    return assembled(table, {"label": CLASSES}, store=FileImages(path, links), source=f"crc_msi:{path}", root=path)
