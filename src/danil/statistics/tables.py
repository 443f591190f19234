"""Reading `predictions.csv`: a table becomes checked predictions."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from danil.statistics.predictions import (
    TOLERANCE,
    Floats,
    Integers,
    Predictions,
    PredictionsError,
    Texts,
    place,
    texts,
)


def read_predictions(path: str | Path) -> Predictions:
    """Read a `predictions.csv`; empty labels are unknown, columns `group` and `prediction` may be left out.

    Raises:
        PredictionsError: the file is missing, damaged, or a row is wrong; the message names the line.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError as error:
        raise PredictionsError(
            f"`{path}` does not exist. `danil train` writes it at the end of a run; finish an interrupted one with "
            "`--resume`."
        ) from error
    except (ValueError, OSError) as error:
        raise PredictionsError(f"`{path}` cannot be read as CSV: {error}.") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise PredictionsError(f"`{path}`: rows have more cells than the header. Remove commas at the ends of lines.")
    return predictions_from_table(table, str(path))


def predictions_from_table(table: pd.DataFrame, source: str = "predictions") -> Predictions:
    """Return the predictions of a table with the columns of `predictions.csv`.

    Raises:
        PredictionsError: naming the column or the row, and what to do.
    """
    prefix = "probability_"
    columns = [str(name) for name in table.columns if str(name).startswith(prefix)]
    for name in ("path", "label"):
        if name not in table:
            raise PredictionsError(
                f"`{source}` has no column `{name}`. {separated(table)}Needed: path, label, {prefix}<class> …"
            )
    if table.empty:
        raise PredictionsError(f"`{source}` has no rows. Predict at least one image.")
    if len(set(columns)) < len(columns):
        raise PredictionsError(f"`{source}` has a column twice: {', '.join(columns)}. Keep one for each class.")
    classes = [name.removeprefix(prefix) for name in columns]
    paths = texts(table["path"].astype(str).to_numpy())
    labels = class_indices(table["label"], classes, paths, source)
    probabilities = np.empty((len(table), len(columns)))
    for index, name in enumerate(columns):
        probabilities[:, index] = numbers(table[name], paths, source)
    groups = texts(table["group"].to_numpy()) if "group" in table else None
    read = Predictions.of(labels, probabilities, groups=groups, classes=classes, paths=paths, source=source)
    if "prediction" in table:
        stated = class_indices(table["prediction"], classes, paths, source)
        chosen = np.where(stated >= 0, read.probabilities[np.arange(len(read)), stated], 0)
        odd = np.flatnonzero(chosen < read.probabilities.max(1) - TOLERANCE)
        if len(odd):
            raise PredictionsError(
                f"{place(source, int(odd[0]), paths)}: the prediction is not the class of largest probability. Correct "
                "it, or leave the column `prediction` out."
            )
        return replace(read, stated=stated) if (stated != read.found).any() else read
    return read


def separated(table: pd.DataFrame) -> str:
    """Return that a table's cells are not separated by commas, where its header says so."""
    head = "".join(str(name) for name in table.columns)
    marks = {";": "semicolons", "\t": "tabs"}
    found = next((word for mark, word in marks.items() if head.count(mark) >= len(table.columns)), None)
    return f"Its cells are separated by {found}; commas are read: save it again with commas. " if found else ""


def class_indices(column: pd.Series, classes: Sequence[str], paths: Texts, source: str) -> Integers:
    """Return indices of class names, −1 where the cell is empty.

    Raises:
        PredictionsError: a name is none of the classes.
    """
    empty = (column.isna() | column.eq("")).to_numpy()
    names = column.astype(str)
    codes = pd.Index(classes).get_indexer(pd.Index(names))
    odd = np.flatnonzero((codes < 0) & ~empty)
    if len(odd):
        raise PredictionsError(
            f"{place(source, int(odd[0]), paths)}: {column.name} `{names.iloc[odd[0]]}` is none of the classes "
            f"{', '.join(classes)}. Rename it, or leave the cell empty where the label is unknown."
        )
    return np.where(empty, -1, codes).astype(np.int64)


def numbers(column: pd.Series, paths: Texts, source: str) -> Floats:
    """Return a column of probabilities, text read exactly as Python reads it; an empty cell is NaN, refused later."""
    cells = column.replace("", "nan").to_numpy()
    try:
        return cells.astype(np.float64)
    except (TypeError, ValueError) as error:
        row = int(pd.to_numeric(pd.Series(cells), errors="coerce").isna().to_numpy().argmax())
        raise PredictionsError(
            f"{place(source, row, paths)}: {column.name} is `{cells[row]}`, which is no number. Correct it."
        ) from error
