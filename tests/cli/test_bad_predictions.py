"""Predictions that cannot be judged end in one message and exit code 2, by `evaluate` and by `compare`."""

import json

import numpy as np
import pandas as pd
import pytest

CLASSES = ("mel", "nv")


def table(rows=40):
    """Predictions of two classes, two images a patient, three of four right."""
    labels = np.arange(rows) // 2 % 2
    share = np.where(np.arange(rows) % 4 == 3, 0.4, 0.8)
    return pd.DataFrame(
        {
            "path": [f"{row:02}.png" for row in range(rows)],
            "group": [f"p{row // 2}" for row in range(rows)],
            "label": [CLASSES[label] for label in labels],
            "probability_mel": np.where(labels == 0, share, 1 - share),
            "probability_nv": np.where(labels == 1, share, 1 - share),
        }
    )


def run_folder(path, predictions, objective="danil"):
    """A run folder whose test part is the 40 images of `table()`."""
    path.mkdir()
    table()[["path", "group", "label"]].assign(split="test").to_csv(path / "manifest.csv", index=False)
    predictions.to_csv(path / "predictions.csv", index=False)
    record = {"source": "folder:images", "digest": "d", "root": None, "tasks": {"label": list(CLASSES)}}
    (path / "data.json").write_text(json.dumps(record))
    (path / "recipe.toml").write_text(f'seed = 0\n[objective]\nname = "{objective}"\n')
    return path


FAULTS = {
    "rows are missing": (lambda good: good.iloc[:-3], ["misses 3 images (`37.png`, `38.png`, `39.png`)"]),
    "a row stands twice": (lambda good: pd.concat([good, good.tail(1)]), ["line 42", "39.png", "was there before"]),
    "probabilities do not sum to 1": (
        lambda good: good.assign(probability_nv=0.9),
        ["line 2 (`00.png`)", "must sum to 1", "they sum to 1.7", "(40 such rows)"],
    ),
    "a probability is no number": (
        lambda good: good.astype(str).assign(
            probability_mel=lambda rows: rows["probability_mel"].where(rows["path"] != "03.png", "high")
        ),
        ["line 5", "probability_mel is `high`, which is no number"],
    ),
    "a class is unknown": (
        lambda good: good.replace({"label": {"nv": "naevus"}}),
        ["line 4", "label `naevus` is none of the classes mel, nv"],
    ),
    "a group is missing": (
        lambda good: good.assign(group=good["group"].where(good.index != 6, "")),
        ["line 8 (`06.png`)", "no group"],
    ),
    "one class has probabilities": (
        lambda good: good[good["label"] == "mel"].assign(probability_mel=1.0).drop(columns="probability_nv"),
        ["probabilities of 1 class only"],
    ),
    "no row has a label": (lambda good: good.assign(label=""), ["has no labels"]),
    "there are no rows": (lambda good: good.iloc[:0], ["has no rows"]),
    "the label column is missing": (lambda good: good.drop(columns="label"), ["has no column `label`"]),
    "an image is not of the test part": (
        lambda good: good.replace({"path": {"05.png": "other.png"}}),
        ["misses 1 image (`05.png`)"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_predictions_of_a_run_are_named(danil, tmp_path, fault):
    spoil, words = FAULTS[fault]
    run = run_folder(tmp_path / "run", spoil(table()))
    answer = danil("evaluate", run)
    assert answer.code == 2, answer
    assert answer.err.startswith("danil: `")
    assert all(word in answer.err for word in ["predictions.csv", *words]), answer.err
    assert answer.err.count("\n") == 1
    assert not (run / "metrics.json").exists()


def test_sound_predictions_of_a_run_and_of_a_table_alone_are_judged_alike(danil, tmp_path):
    run = run_folder(tmp_path / "run", table())
    by_run = danil("evaluate", run)
    by_table = danil("evaluate", run / "predictions.csv", "--out", tmp_path / "results")
    assert by_run.code == by_table.code == 0, by_run.err + by_table.err
    documents = [json.loads((folder / "metrics.json").read_text()) for folder in (run, tmp_path / "results")]
    assert documents[0]["metrics"] == documents[1]["metrics"]
    assert documents[0]["group_level"]["groups"] == 20


def test_labels_of_one_class_are_judged_and_said(danil, tmp_path):
    only = table().query("label == 'mel'")
    only.to_csv(tmp_path / "only.csv", index=False)
    answer = danil("evaluate", tmp_path / "only.csv")
    assert answer.code == 0
    assert "Every label is mel" in answer.out
    assert "ROC-AUC is undefined" in answer.out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--sensitivity", "1.5"], ["wanted sensitivity is 1.5", "(0, 1]"]),
        (["--risk", "1"], ["wanted risk is 1", "[0, 1)"]),
        (["--sensitivity", "0.9"], ["no predictions on a validation part", "split.validation"]),
        (["--prevalence", "mel"], ["`--prevalence mel` is not CLASS=SHARE"]),
        (["--prevalence", "bkl=0.1"], ["prevalence of `bkl`", "mel, nv"]),
        (["--prevalence", "mel=2"], ["prevalence of `mel` is 2", "(0, 1)"]),
        (["--by", "age"], ["no column `age`", "there is no metadata"]),
        (["--data", "clinic.csv"], ["no weights yet"]),
    ],
)
def test_an_impossible_wish_is_named(danil, tmp_path, words, expected):
    run = run_folder(tmp_path / "run", table())
    answer = danil("evaluate", run, *words)
    assert answer.code == 2, answer
    assert all(word in answer.err for word in expected), answer.err
    assert not (run / "metrics.json").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--out", "results"], ["`--out` goes with `--data` or a table"]),
        (["--validation", "held.csv"], ["`--validation` goes with a table"]),
        (["--map", "a=mel"], ["`--map` goes with `--data`"]),
        (["--limit", "5"], ["`--limit` goes with `--robustness`"]),
        (["--robustness", "--sensitivity", "0.9", "--by", "age"], ["leave out `--sensitivity` and `--by`"]),
        (["--robustness", "--resamples", "300"], ["leave out `--resamples`"]),
        (["--robustness", "--data", "clinic.csv"], ["leave out `--data`"]),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(danil, tmp_path, words, expected):
    run = run_folder(tmp_path / "run", table())
    answer = danil("evaluate", run, *words)
    said = " ".join(answer.err.replace("│", " ").split())
    assert answer.code == 2, answer
    assert all(word in said for word in expected), answer.err
    assert not (run / "metrics.json").exists()


def test_a_table_of_predictions_predicts_no_other_cohort(danil, tmp_path):
    table().to_csv(tmp_path / "test.csv", index=False)
    for words in (["--data", "clinic.csv"], ["--data", "clinic.csv", "--map", "a=mel"]):
        answer = danil("evaluate", tmp_path / "test.csv", *words)
        assert answer.code == 2
        assert "`--data` predicts with a run" in " ".join(answer.err.replace("│", " ").split())


def test_thresholds_of_a_table_need_other_images(danil, tmp_path):
    table().to_csv(tmp_path / "test.csv", index=False)
    table().assign(path=lambda rows: "held/" + rows["path"]).to_csv(tmp_path / "held.csv", index=False)
    alone = danil("evaluate", tmp_path / "test.csv", "--sensitivity", "0.9")
    assert alone.code == 2
    assert "--validation FILE" in alone.err
    same = danil("evaluate", tmp_path / "test.csv", "--validation", tmp_path / "test.csv")
    assert same.code == 2
    assert "share 40 images, e.g. `00.png`" in same.err
    fine = danil("evaluate", tmp_path / "test.csv", "--validation", tmp_path / "held.csv", "--sensitivity", "0.7")
    assert fine.code == 0, fine.err
    assert "mel  for sensitivity 0.7: from " in fine.out


CHANGES = {
    "another test image": (lambda good: good.replace({"path": {"05.png": "x.png"}}), ["not on the same test images"]),
    "fewer test images": (lambda good: good.iloc[:30], ["not on the same test images", "10 are labelled in one only"]),
    "another label": (lambda good: good.replace({"label": {"nv": "mel"}}), ["give `02.png` another label"]),
    "another group": (lambda good: good.assign(group=good["path"]), ["another group"]),
    "other classes": (
        lambda good: good.rename(columns={"probability_nv": "probability_bkl"}).replace({"label": {"nv": "bkl"}}),
        ["has the classes mel, nv", "mel, bkl"],
    ),
    "a row twice": (lambda good: pd.concat([good, good.head(1)]), ["was there before"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_runs_that_cannot_be_compared_are_named(danil, tmp_path, change):
    spoil, words = CHANGES[change]
    one = run_folder(tmp_path / "one", table())
    other = run_folder(tmp_path / "other", spoil(table()), objective="base")
    answer = danil("compare", one, other, "--json", tmp_path / "c.json", "--out", tmp_path / "c.html")
    assert answer.code == 2, answer
    assert all(word in answer.err for word in words), answer.err
    assert answer.err.count("\n") == 1
    assert not list(tmp_path.glob("c.*"))


def test_a_folder_that_is_no_run_is_named(danil, tmp_path):
    for verb in ("evaluate", "report"):
        answer = danil(verb, tmp_path)
        assert answer.code == 2
        assert "is not a run folder" in answer.err
    answer = danil("compare", tmp_path / "a", tmp_path / "b")
    assert answer.code == 2
    assert "does not exist" in answer.err
