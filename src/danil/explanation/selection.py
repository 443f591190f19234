"""Which images to explain: from a predictions table."""

import pandas as pd


def confidently_wrong(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the rows whose prediction is wrong, the most confident first, at most `count`.

    `predictions` has the columns `path, label, prediction, probability_<class>…`; the column `confidence` (the
    prediction's probability) is added. Rows without a label are left out; ties keep the table's order.
    """
    table = with_confidence(predictions)
    wrong = table[table["label"] != table["prediction"]]
    return wrong.sort_values("confidence", ascending=False, kind="stable").head(count)


def least_certain(predictions: pd.DataFrame, count: int) -> pd.DataFrame:
    """Return the rows whose prediction is right, the least confident first, at most `count`; columns as above."""
    table = with_confidence(predictions)
    right = table[table["label"] == table["prediction"]]
    return right.sort_values("confidence", kind="stable").head(count)


def with_confidence(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the labelled rows with their prediction's probability.

    Raises:
        ValueError: a column is missing.
    """
    needed = ["path", "label", "prediction"]
    needed += [f"probability_{name}" for name in predictions.get("prediction", pd.Series(dtype=str)).unique()]
    missing = [name for name in needed if name not in predictions.columns]
    if missing:
        raise ValueError(f"`predictions` has no column `{missing[0]}`; give a table as `danil train` writes it.")
    labelled = predictions[predictions["label"].notna() & (predictions["label"] != "")]
    confidence = pd.Series(0.0, index=labelled.index)
    for name in labelled["prediction"].unique():
        confidence = confidence.mask(labelled["prediction"] == name, pd.to_numeric(labelled[f"probability_{name}"]))
    return labelled.assign(confidence=confidence)
