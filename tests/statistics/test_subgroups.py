"""Subgroups of metadata columns."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from danil.statistics import Predictions, PredictionsError
from danil.statistics.multiplicity import holm_corrected
from danil.statistics.subgroups import banded, subgroup_results


def test_each_value_of_a_column_has_the_metrics_of_its_own_images(made):
    predictions = made(n=300)
    sex = pd.DataFrame({"sex": np.where(np.arange(300) % 3 == 0, "female", "male")})
    results = subgroup_results(predictions, sex, resamples=200)
    assert [(row.column, row.value, row.images) for row in results] == [("sex", "female", 100), ("sex", "male", 200)]
    for row in results:
        part = predictions.take((sex["sex"] == row.value).to_numpy())
        assert row.metrics["accuracy"].value == pytest.approx((part.found == part.labels).mean())
        score = f1_score(part.labels, part.found, average="macro")
        assert row.metrics["macro_f1"].value == pytest.approx(score)
        assert row.metrics["macro_f1"].low < score < row.metrics["macro_f1"].high
    assert results[0].gap == pytest.approx(results[0].metrics["accuracy"].value - results[1].metrics["accuracy"].value)


def test_a_large_gap_is_flagged_and_none_is_not(made):
    easy, hard = made(n=200, skill=4, seed=1), made(n=200, skill=0, seed=2)
    labels = np.concatenate([easy.labels, hard.labels])
    probabilities = np.concatenate([easy.probabilities, hard.probabilities])
    predictions = type(easy).of(labels, probabilities)
    site = pd.DataFrame({"site": ["a"] * 200 + ["b"] * 200, "coin": [str(row % 2) for row in range(400)]})
    results = {(row.column, row.value): row for row in subgroup_results(predictions, site, resamples=50)}
    assert results["site", "b"].flagged
    assert results["site", "b"].gap < -0.3
    assert not results["coin", "0"].flagged


def test_a_gap_that_another_mix_of_labels_makes_is_not_flagged():
    labels = np.repeat([0, 1], 200)
    right = np.where(labels == 0, np.arange(400) % 20 > 0, np.arange(400) % 20 < 6)  # 95 % of label 0, 30 % of label 1
    probabilities = np.where((labels == 0) == right, 0.9, 0.1)
    predictions = Predictions.of(labels, np.stack([probabilities, 1 - probabilities], axis=1))
    clinic = pd.DataFrame({"clinic": np.where(np.arange(400) % 400 < 160, "a", "b")})
    clinic.loc[360:, "clinic"] = "a"
    results = subgroup_results(predictions, clinic, resamples=20)
    assert results[0].gap > 0.3
    assert results[0].gap_alike == pytest.approx(0, abs=0.02)
    assert not any(row.flagged for row in results)


def test_subgroups_of_few_groups_are_shown_but_not_tested(made):
    predictions = made(n=300, per_group=3)
    rare = pd.DataFrame({"device": ["old"] * 30 + ["new"] * 270})
    old = next(row for row in subgroup_results(predictions, rare, resamples=50) if row.value == "old")
    assert (old.images, old.groups) == (30, 10)
    assert np.isnan(old.p)
    assert not old.flagged


def test_ages_come_in_bands_of_20_years_and_missing_ones_are_unknown():
    ages = pd.Series(["5", "19.9", "20", "45", "60", "79", "80", "101", ""], name="age")
    bands = ["< 20", "< 20", "20–40", "40–60", "60–80", "60–80", "≥ 80", "≥ 80", "unknown"]
    assert banded(ages).tolist() == bands


def test_other_numbers_come_in_quartiles():
    numbers = pd.Series(np.arange(1.0, 9.0) + 0.25, name="thickness")
    assert banded(numbers).tolist() == ["< 3"] * 2 + ["3–4.75"] * 2 + ["4.75–6.5"] * 2 + ["≥ 6.5"] * 2


def test_bands_are_in_order_and_unknown_is_last(made):
    ages = pd.DataFrame({"age": [*np.linspace(10, 90, 99).astype(str), ""]})
    values = [row.value for row in subgroup_results(made(n=100), ages, resamples=20)]
    assert values == ["< 20", "20–40", "40–60", "60–80", "≥ 80", "unknown"]


def test_identifiers_and_constant_columns_make_no_subgroups(made):
    columns = pd.DataFrame({"lesion_id": [f"L{row}" for row in range(100)], "site": ["one"] * 100})
    assert subgroup_results(made(n=100), columns, resamples=20) == []


def test_metadata_of_other_length_or_without_the_column_are_refused(made):
    with pytest.raises(PredictionsError, match="`metadata` has 3 rows, `predictions` 100"):
        subgroup_results(made(n=100), pd.DataFrame({"sex": ["f", "m", "f"]}))
    with pytest.raises(PredictionsError, match="no column `age`; it has sex"):
        subgroup_results(made(n=2), pd.DataFrame({"sex": ["f", "m"]}), columns=["age"])


def test_few_groups_make_no_interval_and_perfect_ones_no_certainty(made):
    predictions = made(n=120, per_group=3, skill=60)
    site = pd.DataFrame({"site": ["a"] * 24 + ["b"] * 96})
    few, many = subgroup_results(predictions, site, resamples=50)
    for row in (few, many):
        assert row.metrics["macro_f1"].value == 1
        assert np.isnan(row.metrics["macro_f1"].low)
        assert row.metrics["accuracy"].low < 1
    noisy = subgroup_results(made(n=120, per_group=3, skill=1), site, resamples=50)
    assert [np.isnan(row.metrics["macro_f1"].low) for row in noisy] == [True, False]


def test_numbers_that_are_names_of_sites_stay_and_such_of_patients_make_no_subgroups(made):
    sites = pd.DataFrame({"hospital": np.arange(200) % 10 + 1, "patient_number": np.arange(200) * 7})
    results = subgroup_results(made(), sites, resamples=10)
    assert [row.value for row in results] == [str(site) for site in range(1, 11)]
    grouped = made(n=200, per_group=4)
    assert subgroup_results(grouped, pd.DataFrame({"patient": np.arange(200) // 4}), resamples=10) == []
    for measured in (
        {"days": np.arange(200)},
        {"body_mass_index": np.arange(200)},
        {"number_of_nevi": np.arange(200) // 2},
    ):
        assert subgroup_results(made(n=200), pd.DataFrame(measured), resamples=10) != []


def test_counts_that_are_mostly_the_smallest_are_parted_above_it():
    counts = pd.Series([0] * 90 + [*range(1, 31)], name="lesion_count")
    assert pd.Series(banded(counts)).value_counts().to_dict() == {"< 1": 90, "≥ 1": 30}


def test_an_age_is_known_in_any_spelling_and_na_is_unknown():
    for name in ("patientAge", "AGE", "age_years"):
        assert banded(pd.Series(["5", "33", "47", "52", "68", "79", "91", "NA"], name=name))[-2:].tolist() == [
            "≥ 80",
            "unknown",
        ]


def test_the_two_values_of_a_column_are_one_test(made):
    predictions, random = made(n=400), np.random.default_rng(5)
    right = predictions.found == predictions.labels
    columns = pd.DataFrame(
        {
            name: np.where(random.random(400) < 0.4 + share * right, "a", "b")
            for name, share in (("sex", 0.12), ("eye", 0.08))
        }
    )
    rows = subgroup_results(predictions, columns, resamples=10)
    assert rows[0].p == pytest.approx(rows[1].p)
    assert rows[0].p_holm == rows[1].p_holm
    assert [row.p_holm for row in rows[::2]] == pytest.approx(list(holm_corrected([row.p for row in rows[::2]])))
    assert len({row.p_holm for row in rows}) == 2


def test_a_column_of_too_many_values_is_refused(made):
    lesions = pd.DataFrame({"lesion": [f"L{row}" for row in range(200)]})
    with pytest.raises(PredictionsError, match="200 values of `lesion`; subgroups have at most 100"):
        subgroup_results(made(), lesions, columns=["lesion"], resamples=10)
