"""Count what reading damaged and hostile files ends in, and the memory it takes.

    python benchmarks/hostile_files.py run      # a few minutes; needs ../shared; writes results/hostile.json
    python benchmarks/hostile_files.py run --row "images of 49 million pixels"    # one row again
    python benchmarks/hostile_files.py table    # only write docs/untrusted.md's table again

Each row runs in a process of its own: 5,000 mutations of real images (fixed seed; every format, one to four faults
each), 24 cuts per file, mutated DICOM files, bombs, and the largest images that are taken. A file is decoded, or
refused by an error that names it; anything else (another error, a crash) is a fault. Memory is the growth of the
peak resident set over what the process holds before its first file (Linux).
"""

import argparse
import ctypes
import gc
import io
import json
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from marked import write_between
from PIL import Image

from danil.data.atomic import write_atomically
from danil.data.decoding import ImageError, read_image
from danil.data.dicom_pixels import read_frame
from danil.data.fake_dicom import dicom_dataset, jpeg_dataset, save_dicom
from danil.data.hostile import ENCODINGS, bombs, encoded, mutated

ROOT = Path(__file__).parents[1]
RECORD, DOCUMENT = ROOT / "results" / "hostile.json", ROOT / "docs" / "untrusted.md"
IMAGES = ROOT.parent / "shared" / "data"
Case = tuple[str, bytes]


def pictures(count: int) -> list[Image.Image]:
    """Return real images of three data sets."""
    folders = ("ham10000/HAM10000_images_part_1", "aptos2019/train_images", "idrid/train")
    files = [file for folder in folders for file in sorted((IMAGES / folder).rglob("*.jpg"))[:count]]
    return [Image.open(file).convert("RGB") for file in files]


def seeds() -> list[bytes]:
    return [encoded(picture, name) for picture in pictures(2) for name in ENCODINGS]


def mutations(count: int = 5000) -> Iterator[Case]:
    rng, whole = np.random.default_rng(0), seeds()
    for number in range(count):
        yield f"{number}.bin", mutated(whole[number % len(whole)], rng)


def cuts(count: int = 24) -> Iterator[Case]:
    for number, whole in enumerate(seeds()):
        for end in np.linspace(0, len(whole) - 1, count, dtype=int):
            yield f"{number}-{end}.bin", whole[:end]


def dicom_files() -> list[bytes]:
    """Return real images as DICOM files: plain, 16 bit, RLE, JPEG and JPEG 2000."""
    picture = pictures(1)[0].resize((96, 96))
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 16
    packed = dicom_dataset(np.stack([grey, grey]), {})
    packed.compress("1.2.840.10008.1.2.5", generate_instance_uid=False)
    sets = [dicom_dataset(np.asarray(picture), {}), dicom_dataset(grey, {"WindowCenter": 900, "WindowWidth": 1500})]
    sets += [packed, jpeg_dataset(picture, {}), jpeg_dataset(picture, {}, "JPEG2000")]
    with tempfile.TemporaryDirectory() as folder:
        return [save_dicom(Path(folder) / "x.dcm", one).read_bytes() for one in sets]


def dicom(count: int = 2000) -> Iterator[Case]:
    rng, whole = np.random.default_rng(0), dicom_files()
    for number in range(count):
        yield f"{number}.dcm", mutated(whole[number % len(whole)], rng)


def largest(side: int = 7000) -> Iterator[Case]:
    """Yield blank images near the limits; they are small as files."""
    turned = Image.Exif()
    turned[0x0112] = 6
    for mode, kind, options in (
        ("RGBA", "PNG", {"compress_level": 1}),
        ("F", "TIFF", {"compression": "tiff_adobe_deflate"}),
        ("RGB", "WEBP", {"lossless": True, "method": 0}),
        ("RGB", "JPEG", {"progressive": True}),
    ):
        stream = io.BytesIO()
        Image.new(mode, (side, side)).save(stream, kind, exif=turned, **options)
        yield f"largest.{kind.lower()}", stream.getvalue()


ROWS = {
    "mutations of real images, 14 encodings": mutations,
    "real images cut short": cuts,
    "bombs: small files that declare or unpack to far more": lambda: ((f"{n}.bin", c) for n, c in bombs()),
    "mutations of DICOM files, five transfer syntaxes": dicom,
    "images of 49 million pixels": largest,
}


def counted(title: str) -> dict[str, float]:
    """Read every file of a row in this process and return what came of it."""
    warnings.simplefilter("ignore")
    cases = list(ROWS[title]())
    found = {"files": 0, "decoded": 0, "refused": 0, "faults": 0}
    before, slowest = memory_from_here(), 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name, content in cases:
            file = Path(folder) / name.replace("/", "-")
            file.write_bytes(content)
            started = time.perf_counter()
            found[outcome(file)] += 1
            found["files"] += 1
            slowest = max(slowest, time.perf_counter() - started)
            file.unlink()
    grown = (resident("VmHWM") - before) / 1024
    return {**found, "memory_mib": round(grown), "slowest_s": round(slowest, 2)}


def memory_from_here() -> int:
    """Give free memory back to the system, forget the peak so far, and return what is resident, in KiB (Linux)."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(name: str) -> int:
    """Return a line of the process's status, in KiB."""
    return int(re.findall(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())[0])


def outcome(file: Path) -> str:
    """Return `decoded`, `refused` or `faults`."""
    try:
        (read_frame if file.suffix == ".dcm" else read_image)(file, str(file))
    except ImageError as error:
        return "refused" if file.name in str(error) else "faults"
    except Exception as error:  # noqa: BLE001  what is counted here
        print(f"{file.name}: {error!r}", file=sys.stderr)
        return "faults"
    return "decoded"


def run(only: str | None) -> None:
    """Read the files of every row, or of one alone, and write the record."""
    rows: dict[str, dict[str, float]] = json.loads(RECORD.read_text())["rows"] if only else {}
    for title in [only] if only else ROWS:
        crashed = {"files": 0, "decoded": 0, "refused": 0, "faults": 1, "memory_mib": 0, "slowest_s": 0}
        rows[title] = in_child(__file__, title) or crashed
        print(title, rows[title])
    write_atomically(RECORD, json.dumps({"command": "python benchmarks/hostile_files.py run", "rows": rows}, indent=1))


def in_child(script: str, title: str) -> dict[str, Any] | None:
    """Return what a script's `child` says of a row, in a process of its own; `None` where that crashed."""
    command = [sys.executable, script, "child", "--row", title]
    answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    return None if answer.returncode else json.loads(answer.stdout.splitlines()[-1])


def table() -> None:
    lines = [
        "| files | read | decoded | refused by name | crashes and other errors | memory |",
        "|---|---|---|---|---|---|",
    ]
    for title, row in json.loads(RECORD.read_text())["rows"].items():
        counts = " | ".join(f"{row[name]:,}" for name in ("files", "decoded", "refused", "faults"))
        lines.append(f"| {title} | {counts} | {row['memory_mib']} MiB |")
    marks = "<!-- files: made by `python benchmarks/hostile_files.py table` -->", "<!-- end of files -->"
    write_between(DOCUMENT, marks, "\n".join(lines))


def obey(
    about: str | None,
    titles: Iterable[str],
    child: Callable[[str], Any],
    run: Callable[[str | None], None],
    table: Callable[[], None],
) -> None:
    """Do what the command line says: measure (all rows or one), write the table, or be the process of one row."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "table", "child"))
    parser.add_argument("--row", choices=tuple(titles))
    options = parser.parse_args()
    if options.what == "child":
        print(json.dumps(child(options.row)))
        return
    if options.what == "run":
        run(options.row)
    table()


if __name__ == "__main__":
    obey(__doc__, ROWS, counted, run, table)
