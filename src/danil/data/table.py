"""Tables of text: CSV, TSV and Parquet files as users have them."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from danil.data.manifest import DataError

ENCODING_HINT = "Save the table as UTF-8, or name its encoding (`?encoding=latin-1`)."


def read_table(path: Path, encoding: str = "utf-8-sig") -> pd.DataFrame:
    """Return a table as text.

    Empty cells are missing; blanks around names and cells, empty rows and empty columns without a name are removed. The
    delimiter is the tab, semicolon or comma that the header holds most of. `NA` and `None` are text like any other.

    Raises:
        DataError: missing, empty, header only, binary, another encoding, a column name twice, or a malformed line.
    """
    if not path.is_file():
        raise DataError(f"`{path}` does not exist or is no file. Give a CSV, TSV or Parquet table.")
    frame = parquet(path) if path.suffix.lower() == ".parquet" else delimited(path, decoded(path, encoding))
    frame.columns = [str(name).strip() for name in frame.columns]
    frame = frame.apply(lambda column: column.str.strip()).replace("", None)
    named = [name for name in frame.columns if name or frame[name].notna().any()]
    frame = frame[named].dropna(how="all").reset_index(drop=True)
    if frame.empty:
        raise DataError(f"`{path}` has a header but no rows.")
    return frame


def decoded(path: Path, encoding: str) -> str:
    """Return the text of a table file."""
    content = path.read_bytes()
    if not content.strip():
        raise DataError(f"`{path}` is empty.")
    if b"\0" in content and not encoding.lower().startswith(("utf-16", "utf-32", "utf_16", "utf_32")):
        raise DataError(f"`{path}` has NUL bytes: it is damaged or UTF-16. {ENCODING_HINT}")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(f"`{path}` is not {encoding} text (byte {error.start}). {ENCODING_HINT}") from error
    except LookupError as error:
        raise DataError(f"`encoding` is `{encoding}`, which is unknown. Try `utf-8`, `latin-1` or `utf-16`.") from error


def delimited(path: Path, text: str) -> pd.DataFrame:
    """Return the rows of delimited text."""
    header = text.lstrip().splitlines()[0]
    delimiter = max("\t;,", key=header.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if any(row)]
    except csv.Error as error:
        raise DataError(f"`{path}` is no well-formed CSV: {error}. Check its quotes.") from error
    names = [name.strip() for name in rows[0]]
    used = [name for name in names if name]
    twice = sorted({name for name in used if used.count(name) > 1})
    if twice:
        raise DataError(f"`{path}` has the column `{twice[0]}` twice. Rename one.")
    body = rows[1:]
    for number, row in enumerate(body, start=2):
        if any(cell.strip() for cell in row[len(names) :]):
            raise DataError(
                f"`{path}`: row {number} has {len(row)} cells, the header {len(names)}. Quote commas in text."
            )
    keep = [index for index, name in enumerate(names) if name]
    return pd.DataFrame(
        [[row[index] if index < len(row) else "" for index in keep] for row in body],
        columns=[names[index] for index in keep],
        dtype="str",
    )


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
    return frame.apply(textual)


def textual(column: pd.Series) -> pd.Series:
    """Return a column as text, missing values kept."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("str").where(column.notna(), None)


def required(frame: pd.DataFrame, columns: Iterable[str], path: Path) -> None:
    """Raise `DataError` naming the columns there are, unless all these are."""
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise DataError(f"`{path}` has no column `{absent[0]}`. Its columns: {', '.join(frame.columns)}.")


def complete(frame: pd.DataFrame, column: str, path: Path) -> None:
    """Raise `DataError` naming the rows (2 is the first below the header) unless every cell of the column is filled."""
    rows = [str(index + 2) for index in frame.index[frame[column].isna()]]
    if rows:
        shown = ", ".join(rows[:5]) + (" …" if len(rows) > 5 else "")
        raise DataError(
            f"`{path}`: column `{column}` is empty in {len(rows)} row{'' if len(rows) == 1 else 's'} ({shown}). "
            "Fill or remove them."
        )


def translated(column: pd.Series, names: Mapping[str, str]) -> pd.Series:
    """Return a column with known values replaced, others kept."""
    return column.map(lambda value: names.get(value, value), na_action="ignore")
