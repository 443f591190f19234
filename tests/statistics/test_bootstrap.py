"""The group-aware bootstrap against formulas, SciPy and simulated coverage."""

import threading
import time
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, roc_auc_score

from danil.statistics import Bootstrap, Predictions, bootstrap
from danil.statistics.bootstrap import bootstrapped, resampled_weights


def interval(predictions, metric, **options):
    low, high = bootstrap(predictions, **options)[0][metric].interval()
    return float(low), float(high)


def from_hits(hits, groups=None) -> Predictions:
    probabilities = np.where(np.asarray(hits)[:, None], [[0.9, 0.1]], [[0.2, 0.8]])
    return Predictions.of(np.zeros(len(hits), dtype=int), probabilities, groups=groups)


def test_accuracy_of_independent_images_has_the_binomial_interval():
    hits = np.arange(1000) < 800
    low, high = interval(from_hits(hits), "accuracy", resamples=20_000, families=["confusion"])
    exact = stats.binom.ppf([0.025, 0.975], 1000, 0.8) / 1000
    assert (low, high) == pytest.approx(exact, abs=0.0015)


def test_groups_that_agree_within_count_once():
    hits = np.repeat(np.arange(100) < 80, 10)
    groups = [f"g{row // 10}" for row in range(1000)]
    low, high = interval(from_hits(hits, groups), "accuracy", resamples=20_000, families=["confusion"])
    exact = stats.binom.ppf([0.025, 0.975], 100, 0.8) / 100
    assert (low, high) == pytest.approx(exact, abs=0.006)


@pytest.mark.parametrize("metric", ["macro_f1", "roc_auc"])
def test_intervals_agree_with_scipy_also_for_groups(made, metric):
    predictions = made(n=240, k=2, per_group=3, skill=0.7)
    y, q = predictions.labels.reshape(80, 3), predictions.probabilities[:, 1].reshape(80, 3)

    def statistic(rows):
        labels, scores = y[rows.astype(int)].ravel(), q[rows.astype(int)].ravel()
        if metric == "roc_auc":
            return roc_auc_score(labels, scores)
        return f1_score(labels, scores > 0.5, average="macro")

    reference = stats.bootstrap(
        (np.arange(80),), statistic, vectorized=False, n_resamples=1000, method="percentile", random_state=1
    )
    found = interval(predictions, metric)
    width = reference.confidence_interval.high - reference.confidence_interval.low
    assert found == pytest.approx(tuple(reference.confidence_interval), abs=0.1 * width)
    spread = bootstrap(predictions)[0][metric].samples.std()
    assert spread == pytest.approx(reference.standard_error, rel=0.08)


def test_every_resample_draws_as_many_groups_as_there_are():
    weights = resampled_weights(37, 500, (0, 0))
    assert weights.shape == (37, 500)
    assert (weights.sum(0) == 37).all()
    assert weights.mean() == 1
    # a multinomial count has variance 1 - 1/G; its estimate from 18,500 counts lies within 5 %
    assert weights.var() == pytest.approx(1 - 1 / 37, rel=0.05)


def test_the_same_seed_gives_the_same_resamples_and_another_seed_others(made):
    predictions = made(n=60)
    one, same = (bootstrap(predictions, resamples=300, seed=4)[0]["accuracy"].samples for _ in range(2))
    other = bootstrap(predictions, resamples=300, seed=5)[0]["accuracy"].samples
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_batches_do_not_repeat_one_another(made):
    samples = bootstrap(made(n=60), resamples=512)[0]["nll"].samples
    assert len(samples) == 512
    assert len(np.unique(samples)) == 512


def test_several_tables_see_the_same_draws(made):
    predictions = made(n=60, per_group=2)
    one, other = bootstrap([predictions, predictions], resamples=100)
    for name, values in one.items():
        np.testing.assert_array_equal(values.samples, other[name].samples)


def test_a_class_of_one_image_has_no_recall_interval_less_than_half_of_the_time():
    labels = [0] * 30 + [1] * 30 + [2]
    probabilities = np.eye(3)[labels] * 0.9 + 0.1 / 3
    found = bootstrap(Predictions.of(labels, probabilities), resamples=1000)[0]["class_recall"]
    share = np.isnan(found.samples[:, 2]).mean()
    assert share == pytest.approx((1 - 1 / 61) ** 61, abs=0.05)


def test_no_interval_is_given_where_most_resamples_are_undefined():
    samples = np.array([[0.5, 0.5], [np.nan, 0.7], [np.nan, 0.6], [np.nan, 0.8]])
    low, high = Bootstrap(np.array([0.5, 0.65]), samples).interval()
    assert np.isnan(low[0])
    assert np.isnan(high[0])
    assert low[1] == pytest.approx(np.quantile(samples[:, 1], 0.025))


def test_no_more_threads_are_started_than_this_process_may_use(monkeypatch):
    class Slow:
        groups = 2
        threads: ClassVar[set[int]] = set()

        def __call__(self, weights):
            time.sleep(0.01)
            self.threads.add(threading.get_ident())
            return {"sum": weights.sum(0)}

        def point(self):
            return {"sum": np.zeros(())}

    monkeypatch.setattr("os.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.setattr("danil.cores.quota", lambda _: 1)  # the container's limit
    bootstrapped([Slow()], resamples=2000)
    assert len(Slow.threads) == 1


@pytest.mark.slow
def test_intervals_cover_the_truth_in_95_percent_of_simulated_patient_cohorts():
    random = np.random.default_rng(2)

    def cohort(patients):
        """Images of a patient share its label and part of the score, so they are far from independent."""
        label = random.integers(0, 3, patients)
        patient = random.normal(size=(patients, 3)) * 0.8
        patient[np.arange(patients), label] += 1.2
        logits = np.repeat(patient, 3, axis=0) + random.normal(size=(3 * patients, 3)) * 0.6
        probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        return Predictions.of(
            np.repeat(label, 3), probabilities, groups=[f"p{row // 3}" for row in range(3 * patients)]
        )

    names = ("accuracy", "macro_f1", "roc_auc", "brier", "nll", "mcc")
    truth = bootstrap(cohort(200_000), resamples=1)[0]
    trials, covered = 1200, dict.fromkeys(names, 0)
    for trial in range(trials):
        found = bootstrap(cohort(200), resamples=400, seed=trial)[0]
        for name in names:
            low, high = found[name].interval()
            covered[name] += bool(low <= truth[name].point <= high)
    shares = {name: count / trials for name, count in covered.items()}
    assert all(abs(share - 0.95) <= 0.015 for share in shares.values()), shares


def test_an_areas_interval_is_students_on_the_logit_scale():
    samples = np.random.default_rng(0).normal(0.9, 0.02, 500)
    low, high = Bootstrap(np.array(0.9), samples).area_interval(12)
    half = stats.t.ppf(0.975, 11) * samples.std() / 0.09
    assert (np.log(low / (1 - low)), np.log(high / (1 - high))) == pytest.approx((np.log(9) - half, np.log(9) + half))
    for values in (np.full(500, 0.9), np.where(np.arange(500) < 300, np.nan, samples)):
        assert np.isnan(Bootstrap(np.array(0.9), values).area_interval(12)).all()
    assert np.isnan(Bootstrap(np.array(0.9), samples).area_interval(9)).all()
    assert np.isnan(Bootstrap(np.array(1.0), samples).area_interval(12)).all()


def test_resamples_that_all_agree_are_no_certainty():
    assert np.isnan(Bootstrap(np.array(1.0), np.ones(50)).interval()).all()
