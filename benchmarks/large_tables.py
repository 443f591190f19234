"""Read CSV tables of a million rows, sound and with one fault near their end; the processor time and memory it takes.

    python benchmarks/large_tables.py run      # about 2 minutes; writes results/large_tables.json
    python benchmarks/large_tables.py table    # only write docs/untrusted.md's table again

Each row is a process of its own. The images are absent, as with `?missing=keep` or `danil audit --metadata-only`, but
in the last row: there each of a hundred image files is linked ten thousand times. Memory is the growth of the peak
resident set over what the process holds before it opens the table (Linux).
"""

import itertools
import json
import os
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hostile_files import DOCUMENT, ROOT, in_child, memory_from_here, obey, resident
from marked import write_between

from danil.data import DataError, read_source
from danil.data.atomic import write_atomically
from danil.data.fake import write_fake

RECORD = ROOT / "results" / "large_tables.json"
COUNT = 1_000_000


def lines(last: str | None = None) -> Iterator[str]:
    """Yield a table of images, labels, patients and ages, its header first; `last` stands in its last row's place."""
    yield "image,label,patient,age\n"
    for n in range(COUNT if last is None else COUNT - 1):
        yield f"{n % 100:02}/{n:07}.png,{('mild', 'severe')[n % 2]},P{n // 4:06},{20 + n % 70}\n"
    if last is not None:
        yield last


TABLES = {
    "sound": (lines, "read"),
    "images said to be there that are not": (lines, "1000000 files"),
    "a NUL byte": (lambda: lines("99/0.png,mi\0ld,P1,20\n"), "NUL bytes"),
    "a byte that is no UTF-8": (lambda: lines("99/0.png,mi\udcffld,P1,20\n"), "is not utf-8-sig text"),
    "a quote left open": (lambda: lines('99/0.png,"mild,P1,20\n'), "no well-formed CSV"),
    "a cell too many": (lambda: lines("99/0.png,mild,P1,20,5\n"), "row 1000001 has 5 cells"),
    "a path that climbs out": (lambda: lines("../../0.png,mild,P1,20\n"), "1 path (`../../0.png`) outside"),
    "sound, its images there": (lines, "read"),
}
"""What is wrong → the table, and words of the message (`read`: none)."""


def measured(title: str) -> dict[str, float | int | bool | str]:
    """Read a table in this process and return what came of it."""
    warnings.simplefilter("ignore")
    make, words = TABLES[title]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "cohort.csv"
        with table.open("w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.writelines(make())
        if title.endswith("there"):
            write_images(Path(folder))
        size, before, began = table.stat().st_size, memory_from_here(), time.process_time()
        try:
            found = f"{len(read_source(f'csv:{table}', pixels=title == 'images said to be there that are not'))} rows"
            sound = words == "read" and found == f"{COUNT} rows"
        except DataError as error:
            found = str(error).replace(folder, "…")[:200]
            sound = words in found and "cohort.csv" in found
    seconds = round(time.process_time() - began, 1)
    grown = round((resident("VmHWM") - before) / 1024)
    return {"table_mib": round(size / 2**20), "seconds": seconds, "memory_mib": grown, "sound": sound, "found": found}


def write_images(folder: Path) -> None:
    """Make a file for every row: a hundred folders of names of one image each."""
    image = next(write_fake("folder", folder / "one", images=2).rglob("*.png"))
    for number in range(100):
        (folder / f"{number:02}").mkdir()
        (folder / f"{number:02}" / "image").write_bytes(image.read_bytes())
    for name in (line.partition(",")[0] for line in itertools.islice(lines(), 1, None)):
        os.link(folder / name[:2] / "image", folder / name)


def run(only: str | None) -> None:
    """Measure every table, or one alone, and write the record."""
    rows: dict[str, Any] = json.loads(RECORD.read_text())["rows"] if only else {}
    for title in [only] if only else TABLES:
        rows[title] = in_child(__file__, title)
        if rows[title] is None:
            raise SystemExit(f"{title}: the process crashed.")
        print(title, rows[title], flush=True)
    write_atomically(RECORD, json.dumps({"command": "python benchmarks/large_tables.py run", "rows": rows}, indent=1))


def table() -> None:
    """Write the document's table from the record."""
    text = ["| table of 1,000,000 rows | outcome | processor time | memory |", "|---|---|---|---|"]
    for title, row in json.loads(RECORD.read_text())["rows"].items():
        outcome = ("read" if TABLES[title][1] == "read" else "refused by name") if row["sound"] else "**fault**"
        seconds = f"{row['seconds']:.0f} s" if row["seconds"] >= 1 else "< 1 s"
        text.append(f"| {title} | {outcome} | {seconds} | {row['memory_mib']} MiB |")
    marks = "<!-- tables: made by `python benchmarks/large_tables.py table` -->", "<!-- end of tables -->"
    write_between(DOCUMENT, marks, "\n".join(text))


if __name__ == "__main__":
    obey(__doc__, TABLES, measured, run, table)
