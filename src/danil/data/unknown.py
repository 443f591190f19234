"""Labels of a table that say that there is none: `NA`, `nan` and the like."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from danil.data.decoding import printable
from danil.data.manifest import DataError
from danil.data.table import rows_at

LOGGER = logging.getLogger(__name__)
MARKS: tuple[str, ...] = ("NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "null", "NULL", "None")
"""What R, pandas, databases and spreadsheets write where nothing is known."""


def known_labels(
    frame: pd.DataFrame, tasks: Sequence[str], path: Path, options: Mapping[str, str], labelled: bool
) -> pd.DataFrame:
    """Return the table with label cells of the option `unknown` emptied, rows without a main label left out.

    Args:
        frame: the table.
        tasks: its label columns, the main one first.
        path: what errors name.
        options: `unknown`: texts with commas between; empty: every text is a class. `classes`: what it names is one.
        labelled: off, rows without a main label stay, and nothing is refused.

    Raises:
        DataError: a label of `MARKS`, without an option that says what it means.
    """
    chosen = {text.strip() for text in options.get("unknown", "").split(",")} - {""}
    present = [task for task in tasks if task in frame]
    if labelled and options.get("unknown") != "":
        classes = {name.strip() for name in options.get("classes", "").split(",")}
        for task in present:
            refuse_marks(frame[task], {*MARKS} - chosen - (classes if task == tasks[0] else set()), path)
    hidden = {task: frame[task].isin(chosen) for task in present}
    cleared = frame.assign(**{task: frame[task].where(~cells, None) for task, cells in hidden.items()})
    gone = hidden.get(tasks[0], pd.Series(False, index=frame.index))
    if labelled and gone.any():
        LOGGER.info(
            "`%s`: %s without a known `%s` left out.", printable(str(path)), rows_at(frame.index[gone]), tasks[0]
        )
        return cleared[~gone]
    return cleared


def refuse_marks(column: pd.Series, marks: set[str], path: Path) -> None:
    """Raise `DataError` naming the lines where a column of labels holds one of these texts."""
    cells = column.isin(marks)
    if not cells.any():
        return
    found = sorted(column[cells].unique())
    raise DataError(
        f"`{path}`: column `{column.name}` holds {', '.join(f'`{text}`' for text in found)} in "
        f"{rows_at(column.index[cells])}, which mostly means that the label is unknown. If so, leave these rows out by "
        f"`?unknown={','.join(found)}` (of a further task the label alone); if it is a class, say so by `?unknown=`."
    )
