"""The predictions container and `predictions.csv`."""

import numpy as np
import pandas as pd
import pytest

from danil.statistics import Predictions, PredictionsError, predictions_from_table, read_predictions

GOOD = [[0.7, 0.3], [0.2, 0.8], [0.5, 0.5]]


def table(**columns) -> pd.DataFrame:
    base = {
        "path": ["a.png", "b.png", "c.png"],
        "group": ["p1", "p1", "p2"],
        "label": ["cat", "", "dog"],
        "prediction": ["cat", "dog", "cat"],
        "probability_cat": ["0.7", "0.2", "0.5"],
        "probability_dog": ["0.3", "0.8", "0.5"],
    }
    return pd.DataFrame({**base, **columns})


def test_a_written_table_reads_back_the_same_to_the_last_bit(made, tmp_path):
    predictions = made(n=50, k=4, per_group=3, classes=["a", "b", "NA", "d"])
    predictions.table().to_csv(tmp_path / "predictions.csv", index=False)
    back = read_predictions(tmp_path / "predictions.csv")
    assert back.classes == predictions.classes
    assert list(back.paths) == list(predictions.paths)
    assert list(back.groups) == list(predictions.groups)
    np.testing.assert_array_equal(back.labels, predictions.labels)
    np.testing.assert_array_equal(back.probabilities, predictions.probabilities)


def test_an_empty_label_is_unknown_and_left_out_of_the_labelled_rows():
    predictions = predictions_from_table(table())
    assert predictions.labels.tolist() == [0, -1, 1]
    assert predictions.labelled().paths.tolist() == ["a.png", "c.png"]


def test_without_a_group_column_every_image_is_its_own_group():
    predictions = predictions_from_table(table().drop(columns="group"))
    assert predictions.groups.tolist() == ["a.png", "b.png", "c.png"]
    assert not predictions.grouped


def test_equal_probabilities_predict_the_first_class():
    assert Predictions.of([0, 1, 1], GOOD).found.tolist() == [0, 1, 0]


def test_rounded_probabilities_are_rescaled_to_sum_to_one():
    predictions = Predictions.of([0], [[0.3333, 0.3333, 0.3333]])
    np.testing.assert_allclose(predictions.probabilities, 1 / 3, rtol=1e-12)


def test_a_group_is_the_mean_probability_and_the_common_label():
    predictions = Predictions.of(
        [0, -1, 1, 1, 0, -1],
        [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.4, 0.6], [0.6, 0.4], [0.1, 0.9]],
        groups=["p", "p", "q", "q", "q", "r"],
    )
    fused, conflicting = predictions.by_group()
    assert conflicting == 1
    assert fused.paths.tolist() == ["p", "r"]
    assert fused.labels.tolist() == [0, -1]
    np.testing.assert_allclose(fused.probabilities, [[0.7, 0.3], [0.1, 0.9]])


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"path": ["a.png", "b.png", "a.png"]}, ("line 4", "a.png", "one row for each image")),
        ({"group": ["p1", "", "p2"]}, ("line 3", "b.png", "no group", "leave the column out")),
        ({"probability_cat": ["0.7", "0.3", "0.5"]}, ("line 3", "sum to 1", "1.1", "softmax")),
        ({"probability_cat": ["0.7", "", "0.5"]}, ("line 3", "missing or not finite")),
        ({"probability_cat": ["0.7", "nan", "0.5"]}, ("line 3", "missing or not finite")),
        ({"probability_cat": ["-0.1", "0.2", "0.5"], "probability_dog": ["1.1", "0.8", "0.5"]}, ("line 2", "[0, 1]")),
        ({"probability_cat": ["0.7", "many", "0.5"]}, ("line 3", "probability_cat", "many", "no number")),
        ({"label": ["cat", "cow", "dog"]}, ("line 3", "cow", "none of the classes cat, dog", "unknown")),
        ({"prediction": ["cat", "cow", "cat"]}, ("line 3", "prediction `cow`")),
        ({"prediction": ["dog", "dog", "cat"]}, ("line 2", "not the class of largest probability")),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_remedy(columns, words, tmp_path):
    file = tmp_path / "predictions.csv"
    table(**columns).to_csv(file, index=False)
    with pytest.raises(PredictionsError) as caught:
        read_predictions(file)
    for word in (str(file), *words):
        assert word in str(caught.value)


def test_one_class_only_is_refused():
    with pytest.raises(PredictionsError, match="1 class only; a classifier needs at least 2"):
        predictions_from_table(table(label=["cat", "", "cat"]).drop(columns=["probability_dog", "prediction"]))


@pytest.mark.parametrize("column", ["path", "label"])
def test_a_missing_column_is_named(column):
    with pytest.raises(PredictionsError, match=f"no column `{column}`"):
        predictions_from_table(table().drop(columns=column))


@pytest.mark.parametrize(("mark", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_separator_that_is_no_comma_is_named(tmp_path, mark, word):
    table().to_csv(tmp_path / "p.csv", index=False, sep=mark)
    with pytest.raises(PredictionsError, match=f"separated by {word}; commas are read"):
        read_predictions(tmp_path / "p.csv")


def test_a_file_that_is_missing_empty_or_without_rows_is_named(tmp_path):
    with pytest.raises(PredictionsError, match="does not exist"):
        read_predictions(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(PredictionsError, match="cannot be read as CSV"):
        read_predictions(tmp_path / "empty.csv")
    table().head(0).to_csv(tmp_path / "header.csv", index=False)
    with pytest.raises(PredictionsError, match="has no rows"):
        read_predictions(tmp_path / "header.csv")


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], GOOD, "give 3 class indices"),
        ([0.0, 1.0, 1.0], GOOD, "float64"),
        ([0, 1, 2], GOOD, "−1 \\(unknown\\) to 1"),
        ([], np.empty((0, 2)), "N ≥ 1"),
    ],
)
def test_arrays_of_wrong_shape_type_or_range_are_refused(labels, probabilities, message):
    with pytest.raises(PredictionsError, match=message):
        Predictions.of(np.asarray(labels), probabilities)


def test_a_stated_prediction_holds_among_probabilities_that_rounding_made_equal(tmp_path):
    table = pd.DataFrame(
        {
            "path": ["1", "2", "3"],
            "label": ["b", "b", ""],
            "prediction": ["b", "a", "a"],
            "probability_a": [0.5, 0.5, 0.7],
            "probability_b": [0.5, 0.5, 0.3],
        }
    )
    found = predictions_from_table(table)
    assert found.found.tolist() == [1, 0, 0]
    assert found.labelled().found.tolist() == [1, 0]
    table.to_csv(tmp_path / "table.csv", index=False)
    assert read_predictions(tmp_path / "table.csv").table()["prediction"].tolist() == ["b", "a", "a"]


def test_rounding_to_three_decimals_is_accepted_for_many_classes():
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(15), 2000).round(3)
    assert np.abs(probabilities.sum(1) - 1).max() > 0.001
    assert Predictions.of(np.zeros(2000, dtype=int), probabilities).probabilities.sum(1) == pytest.approx(1)


def test_a_comma_at_the_end_of_every_row_is_named_and_shifts_no_column(tmp_path):
    rows = ["path,label,probability_a,probability_b", "1.png,a,0.9,0.1,", "2.png,b,0.2,0.8,"]
    (tmp_path / "table.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(PredictionsError, match="rows have more cells than the header"):
        read_predictions(tmp_path / "table.csv")
