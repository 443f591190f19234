"""Tables of text: CSV, TSV and Parquet files as users have them."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from danil.data.manifest import DataError

ENCODING_HINT = "Save the table as UTF-8, or name its encoding (`?encoding={}`)."
WIDE = ("utf-16", "utf-32", "utf_16", "utf_32")
BYTE_ORDER_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""How text in wide letters begins, and its encoding."""


def read_table(path: Path, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """Return a table as text.

    Empty cells are missing; blanks around names and cells, empty rows and empty columns without a name are removed. The
    delimiter is the tab, semicolon or comma that the header holds most of. `NA` and `None` are text like any other.
    The index counts the file's lines (of Parquet, rows) from 1, and is called so.

    Raises:
        DataError: missing, empty, header only, binary, another encoding, a column name twice, or a malformed line.
    """
    if not path.is_file():
        raise DataError(f"`{path}` does not exist or is no file. Give a CSV, TSV or Parquet table.")
    frame = parquet(path) if path.suffix.lower() == ".parquet" else delimited(path, decoded(path, encoding))
    frame.columns = [str(name).strip() for name in frame.columns]
    check_once(path, [name for name in frame.columns if name])
    frame = frame.apply(lambda column: column.str.strip()).replace("", None)
    named = [name for name in frame.columns if name or frame[name].notna().any()]
    frame = frame[named].dropna(how="all")
    if frame.empty:
        raise DataError(f"`{path}` has a header but no rows.")
    return frame


def decoded(path: Path, encoding: str) -> str:
    """Return the text of a table file."""
    content = path.read_bytes()
    if not encoding.lower().startswith(WIDE):
        wide = next((name for mark, name in BYTE_ORDER_MARKS if content.startswith(mark)), None)
        if wide is not None:
            raise DataError(f"`{path}` is {wide.upper()} text. {ENCODING_HINT.format(wide)}")
        if b"\0" in content:
            raise DataError(f"`{path}` has NUL bytes: it is damaged or UTF-16. {ENCODING_HINT.format('utf-16')}")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = "UTF-8" if encoding.lower().startswith("utf-8") else encoding
        hint = ENCODING_HINT.format("latin-1" if encoding.lower().startswith("utf-8") else "…")
        raise DataError(f"`{path}` is not {name} text (byte {error.start}). {hint}") from error
    except LookupError as error:
        raise DataError(f"`encoding` is `{encoding}`, which is unknown. Try `utf-8`, `latin-1` or `utf-16`.") from error


def delimited(path: Path, text: str) -> pd.DataFrame:
    """Return the rows of delimited text."""
    if not text.replace("\ufeff", "").strip():  # a byte order mark may stand alone
        raise DataError(f"`{path}` is empty.")
    header = text.lstrip().splitlines()[0]
    delimiter = max("\t;,", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines: list[int] = []
    rows: list[list[str]] = []
    try:
        for line, row in numbered(reader):
            lines.append(line)
            rows.append(row)
    except csv.Error as error:
        raise DataError(f"`{path}` is no well-formed CSV: {error}. Check its quotes.") from error
    names = [name.strip() for name in rows[0]] if rows else []
    body = rows[1:]
    for line, row in zip(lines[1:], body, strict=True):
        if any(cell.strip() for cell in row[len(names) :]):
            raise DataError(
                f"`{path}`: line {line} has {len(row)} cells, the header {len(names)}. Quote commas in text."
            )
    keep = [index for index, name in enumerate(names) if name]
    return pd.DataFrame(
        [[row[index] if index < len(row) else "" for index in keep] for row in body],
        columns=[names[index] for index in keep],
        index=pd.Index(lines[1:], name="line", dtype="int64"),
        dtype="str",
    )


def check_once(path: Path, names: Sequence[str]) -> None:
    """Raise `DataError` where two columns have one name."""
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(f"`{path}` has the column `{twice[0]}` twice. Rename one.")


def numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV reader that hold something, each with its first line, from 1."""
    line = 1
    for row in reader:
        if any(row):
            yield line, row
        line = reader.line_num + 1


def parquet(path: Path) -> pd.DataFrame:
    """Return a Parquet table as text; whole numbers lose their `.0`."""
    try:
        frame = pd.read_parquet(path)
    except ImportError as error:
        raise DataError(
            f"`{path}`: Parquet needs pyarrow. `pip install danil-torch[parquet]`, or save as CSV."
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"`{path}` is no Parquet table: {error}.") from error
    return frame.apply(textual).set_index(pd.RangeIndex(1, len(frame) + 1, name="row"))


def textual(column: pd.Series) -> pd.Series:
    """Return a column as text, missing values kept."""
    if pd.api.types.is_float_dtype(column) and ((column.dropna() % 1 == 0) & (column.dropna().abs() < 2**53)).all():
        column = column.astype("Int64")
    return column.astype("str").where(column.notna(), None)


def required(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Raise `DataError` naming the columns there are, unless all these are."""
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise DataError(f"`{path}` has no column `{absent[0]}`. Its columns: {', '.join(frame.columns)}.")


def complete(frame: pd.DataFrame, column: str, path: Path) -> None:
    """Raise `DataError` naming the lines unless every cell of the column is filled."""
    if frame[column].isna().any():
        raise DataError(f"`{path}`: column `{column}` is empty in {cells(frame[column])}. Fill or remove them.")


def cells(column: pd.Series) -> str:
    """Return how many cells of a table's column are empty and where the first are: `2 rows (lines 3, 4)`."""
    return rows_at(column.index[column.isna()])


def rows_at(index: pd.Index) -> str:
    """Return how many rows of a table these are and where the first stand: `2 rows (lines 3, 4)`."""
    places = [str(place) for place in index]
    ending = "" if len(places) == 1 else "s"
    shown = ", ".join(places[:5]) + (" …" if len(places) > 5 else "")
    return f"{len(places)} row{ending} ({index.name}{ending} {shown})"
