import pandas as pd
import pytest

from danil.explanation import confidently_wrong, least_certain

TABLE = pd.DataFrame(
    {
        "path": list("abcdef"),
        "label": ["x", "y", "x", None, "", "y"],
        "prediction": ["y", "y", "y", "x", "x", "x"],
        "probability_x": [0.4, 0.45, 0.1, 0.9, 0.9, 0.7],
        "probability_y": [0.6, 0.55, 0.9, 0.1, 0.1, 0.3],
    }
)


def test_the_most_confidently_wrong_come_first_and_unlabelled_rows_never():
    chosen = confidently_wrong(TABLE, 10)
    assert list(chosen["path"]) == ["c", "f", "a"]
    assert list(chosen["confidence"]) == [0.9, 0.7, 0.6]
    assert list(confidently_wrong(TABLE, 1)["path"]) == ["c"]


def test_the_least_certain_right_ones_come_first():
    assert list(least_certain(TABLE, 10)["path"]) == ["b"]


def test_text_from_a_file_is_read_as_numbers():
    assert list(confidently_wrong(TABLE.astype({"probability_x": str, "probability_y": str}), 2)["path"]) == ["c", "f"]


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="no column `probability_y`"):
        confidently_wrong(TABLE.drop(columns="probability_y"), 1)
    with pytest.raises(ValueError, match="no column `label`"):
        confidently_wrong(TABLE.drop(columns="label"), 1)
