"""Paired comparison: two levels of chance, McNemar, Holm, verdicts."""

import numpy as np
import pytest
from scipy import stats

from danil.statistics import Bootstrap, Predictions, PredictionsError, bootstrap
from danil.statistics.bootstrap import class_groups, rarest_groups
from danil.statistics.comparison import aligned, compared, mcnemar_p, verdict
from danil.statistics.two_level import difference, two_level


def hits(right, **options) -> Predictions:
    probabilities = np.where(np.asarray(right, dtype=bool)[:, None], [[0.9, 0.1]], [[0.2, 0.8]])
    return Predictions.of(np.zeros(len(right), dtype=int), probabilities, **options)


def test_the_interval_is_the_one_of_a_two_way_random_effects_analysis():
    random = np.random.default_rng(0)
    seeds, groups = 5, 400
    table = random.normal(size=(seeds, 1)) * 0.1 + random.normal(size=(1, groups)) + random.normal(size=(seeds, groups))
    samples = random.multivariate_normal(table.mean(1), np.cov(table) / groups, size=200_000)
    found = two_level([Bootstrap(table.mean(1), samples)], groups)
    grand, by_seed, by_group = table.mean(), table.mean(1), table.mean(0)
    mean_squares = (
        groups * ((by_seed - grand) ** 2).sum() / (seeds - 1),
        seeds * ((by_group - grand) ** 2).sum() / (groups - 1),
        ((table - by_seed[:, None] - by_group + grand) ** 2).sum() / (seeds - 1) / (groups - 1),
    )
    image_part = mean_squares[1] - mean_squares[2]
    variance = (mean_squares[0] + image_part) / seeds / groups
    freedom = (mean_squares[0] + image_part) ** 2 / (mean_squares[0] ** 2 / (seeds - 1) + image_part**2 / (groups - 1))
    half = stats.t.ppf(0.975, freedom) * variance**0.5
    assert (found.low, found.high) == pytest.approx((grand - half, grand + half), rel=0.01)


def test_alike_seeds_on_few_groups_give_students_t_with_one_degree_less_than_groups():
    samples = np.random.default_rng(3).normal(size=(4000, 1)).repeat(2, axis=1)
    found = two_level([Bootstrap(np.array([0.5, 0.5]), samples)], 6)
    spread = samples[:, 0].std(ddof=1) * (6 / 5) ** 0.5  # a bootstrap of 6 groups shows 5/6 of a mean's variance
    assert found.high - 0.5 == pytest.approx(stats.t.ppf(0.975, 5) * spread)


def test_the_mean_of_one_training_has_the_interval_that_its_evaluation_has(made):
    one = made(80, seed=1)
    tables = {"one": [one], "other": [made(80, seed=2, labels=one.labels)]}
    means, _ = compared(tables, resamples=200)
    values, rarest = bootstrap(one, resamples=200)[0], rarest_groups(class_groups(one))
    found = means["one"]["roc_auc"]
    assert (found.low, found.high) == values["roc_auc"].area_interval(rarest)
    assert (means["one"]["macro_f1"].low, means["one"]["macro_f1"].high) == values["macro_f1"].interval()


def test_one_training_each_never_has_a_p_value_of_zero():
    found = two_level([Bootstrap(np.array([0.2]), np.linspace(0.1, 0.3, 500)[:, None])], 40)
    assert found.p == 2 / 500


def test_seeds_that_differ_in_nothing_but_seed_noise_give_students_paired_t_test():
    random = np.random.default_rng(1)
    first, second = random.normal(size=(2, 5))
    flat = [Bootstrap(values, np.tile(values, (100, 1))) for values in (first, second)]
    assert difference(*flat, groups=50, paired=True).p == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_unpaired_seeds_without_image_noise_give_welchs_t_test():
    random = np.random.default_rng(2)
    first, second = random.normal(size=4), random.normal(size=6) * 3
    flat = [Bootstrap(values, np.tile(values, (100, 1))) for values in (first, second)]
    expected = stats.ttest_ind(first, second, equal_var=False)
    found = difference(*flat, groups=50, paired=True)
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))


def test_one_training_each_gives_the_paired_percentile_interval(made):
    one, other = made(seed=0), made(seed=0, skill=1.7)
    _, pairs = compared({"a": [one], "b": [other]}, resamples=500, seed=3)
    found = pairs[0].differences["accuracy"]
    samples = [table["accuracy"].samples for table in bootstrap([one, other], resamples=500, seed=3)]
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(samples[0] - samples[1], [0.025, 0.975])))
    assert found.value == pytest.approx((one.found == one.labels).mean() - (other.found == other.labels).mean())


def test_the_same_predictions_differ_in_nothing(made):
    tables = [made(seed=seed, labels=made().labels) for seed in range(3)]
    _, pairs = compared({"a": tables, "b": tables})
    found = pairs[0].differences["macro_f1"]
    assert (found.value, found.p) == (0, 1)
    assert verdict(pairs[0]).startswith("no difference shown: Δ macro-F1 +0.000 [+0.000, +0.000], 3 seeds")


def test_mcnemar_is_the_binomial_test_of_the_discordant_images():
    one, other = hits([1] * 12 + [0] * 3 + [1] * 50), hits([0] * 12 + [1] * 3 + [1] * 50)
    assert mcnemar_p(one, other) == pytest.approx(stats.binomtest(12, 15).pvalue)


def test_mcnemar_with_many_discordant_images_is_the_corrected_chi_square():
    one, other = hits([1] * 40 + [0] * 20 + [1] * 50), hits([0] * 40 + [1] * 20 + [1] * 50)
    assert mcnemar_p(one, other) == pytest.approx(stats.chi2.sf((40 - 20 - 1) ** 2 / 60, 1))


def test_p_values_are_corrected_after_holm(made):
    truth = made(n=400).labels
    tables = {
        name: [made(n=400, labels=truth, seed=3, skill=skill)]
        for name, skill in zip("abc", (1.0, 1.2, 1.5), strict=True)
    }
    _, pairs = compared(tables, resamples=1000)
    raw = np.array([pair.differences["accuracy"].p for pair in pairs])
    order = np.argsort(raw)
    holm = np.minimum(1, np.maximum.accumulate(raw[order] * [3, 2, 1]))
    assert [pairs[place].differences["accuracy"].p_holm for place in order] == pytest.approx(list(holm))


def test_verdicts_name_the_better_method_also_for_errors(made):
    truth = made(n=500).labels
    tables = {
        "weak": [made(n=500, labels=truth, seed=row, skill=0.5) for row in range(3)],
        "strong": [made(n=500, labels=truth, seed=row, skill=2.5) for row in range(3)],
    }
    _, pairs = compared(tables)
    sentence = verdict(pairs[0])
    assert sentence.startswith("strong is better than weak: Δ macro-F1 −0.")
    assert ", 3 seeds, p = " in sentence
    assert verdict(pairs[0], "brier").startswith("strong is better than weak: Δ brier +0.")


def test_the_interval_of_a_mean_stays_within_the_metrics_values():
    tables = [hits([1] * 39 + [0]), hits([1] * 40), hits([1] * 35 + [0] * 5)]
    means, _ = compared({"a": tables, "b": tables}, families=["confusion"], resamples=200)
    accuracy = means["a"]["accuracy"]
    assert accuracy.low < accuracy.value < accuracy.high == 1
    perfect, _ = compared({"a": [hits([1] * 40)] * 3, "b": tables}, families=["confusion"], resamples=200)
    assert perfect["a"]["accuracy"].value == 1
    assert np.isnan(perfect["a"]["accuracy"].low)


@pytest.mark.parametrize("seeds", [(1, 1), (2, 2), (2, 5)])
def test_fewer_than_three_seeds_give_no_verdict_however_large_the_difference(made, seeds):
    truth = made(n=500).labels
    tables = {
        name: [made(n=500, labels=truth, seed=row, skill=skill) for row in range(count)]
        for name, skill, count in zip(("weak", "strong"), (0.2, 4.0), seeds, strict=True)
    }
    _, pairs = compared(tables, resamples=200)
    assert verdict(pairs[0]).startswith("no verdict on the methods from fewer than 3 seeds each: Δ macro-F1 −0.")


def test_a_third_method_with_other_seeds_leaves_a_pair_of_equal_seeds_paired(made):
    truth = made().labels
    tables = {name: [made(labels=truth, seed=row) for row in range(3)] for name in "abc"}
    seeds = {"a": [0, 1, 2], "b": [0, 1, 2], "c": [0, 1, 3]}
    _, pairs = compared(tables, seeds=seeds, resamples=100, families=["confusion"])
    _, (alone,) = compared({name: tables[name] for name in "ab"}, resamples=100, families=["confusion"])
    assert [pair.paired for pair in pairs] == [True, False, False]
    found, expected = pairs[0].differences["accuracy"], alone.differences["accuracy"]
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)


def test_one_seed_says_that_chance_in_training_is_not_included(made):
    _, pairs = compared({"a": [made()], "b": [made(skill=1.6)]}, resamples=200)
    assert "1 seed (chance in training not included)" in verdict(pairs[0])


def test_rows_are_matched_by_path_whatever_their_order(made):
    predictions = made(n=50)
    shuffled = predictions.take(np.random.default_rng(0).permutation(50))
    _, other = aligned([predictions, shuffled])
    np.testing.assert_array_equal(other.probabilities, predictions.probabilities)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"paths": ["a", "b", "x"]}, ("not on the same test images", "2 are labelled in one only", "split.seed")),
        ({"labels": [0, 1, 1]}, ("`c`", "another label")),
        ({"groups": ["p", "q", "q"]}, ("`b`", "another group")),
        ({"classes": ["dog", "cat"]}, ("the classes cat, dog", "dog, cat")),
    ],
)
def test_runs_on_other_images_labels_groups_or_classes_are_refused(change, words):
    base = {"labels": [0, 1, 0], "paths": ["a", "b", "c"], "groups": ["p", "p", "q"], "classes": ["cat", "dog"]}
    tables = [
        Predictions.of(probabilities=[[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], source=source, **options)
        for source, options in (("one.csv", base), ("two.csv", {**base, **change}))
    ]
    with pytest.raises(PredictionsError) as caught:
        aligned(tables)
    for word in ("one.csv", "two.csv", *words):
        assert word in str(caught.value)


def test_one_method_alone_is_no_comparison(made):
    with pytest.raises(PredictionsError, match="needs two or more"):
        compared({"a": [made()]})


NULLS = {  # spreads of: seeds, images, seed × image, method × image
    "seeds alike, images differ between trainings": (0.0, 1.0, 1.0, 0.0),
    "seeds differ much": (0.5, 1.0, 0.5, 0.0),
    "seeds differ little": (0.1, 1.0, 0.5, 0.0),
    "methods excel on different images": (0.15, 0.5, 0.6, 0.8),
}


@pytest.mark.slow
@pytest.mark.parametrize(("null", "paired"), [*((null, True) for null in NULLS), ("seeds differ much", False)])
def test_methods_of_equal_skill_with_5_seeds_are_told_apart_in_3_to_7_percent(null, paired):
    seed_spread, image_spread, residual, excel = NULLS[null]
    random = np.random.default_rng(7)
    images, trials, false = 300, 800, 0
    labels = np.arange(images) % 3
    for trial in range(trials):
        hardness = random.normal(size=images) * image_spread
        methods = []
        for _ in range(2):
            skill = 1 + hardness + random.normal(size=images) * excel
            skill = skill + random.normal(size=(5, 1)) * seed_spread + random.normal(size=(5, images)) * residual
            logits = random.normal(size=(5, images, 3)) * 0.3
            logits[:, np.arange(images), labels] += skill
            found = np.exp(logits) / np.exp(logits).sum(2, keepdims=True)
            methods.append([Predictions.of(labels, one) for one in found])
        _, pairs = compared(
            {"a": methods[0], "b": methods[1]},
            seeds=None if paired else {"a": range(5), "b": range(5, 10)},
            resamples=200,
            seed=trial,
            families=["confusion"],
        )
        false += pairs[0].differences["macro_f1"].p < 0.05
    assert 0.03 <= false / trials <= 0.07, false / trials


def test_agreement_of_all_seeds_and_resamples_on_a_difference_is_no_certainty():
    flat = [Bootstrap(np.full(3, value), np.full((100, 3), value)) for value in (1.0, 0.0)]
    found = difference(*flat, groups=8, paired=True)
    assert found.value == 1
    assert np.isnan([found.low, found.high, found.p]).all()
    same = difference(flat[0], flat[0], groups=8, paired=True)
    assert (same.value, same.low, same.high, same.p) == (0, 0, 0, 1)
