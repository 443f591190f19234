"""Orders of an epoch: each image once, classes evenly, or the hardest more often."""

import numpy as np
import pytest

from danil.data.samplers import ClassBalanced, RankedByLoss, Shuffled

LABELS = np.array([0] * 50 + [1] * 30 + [2] * 4 + [-1] * 6)
SAMPLERS = [Shuffled(90, 0), ClassBalanced(LABELS, 0), RankedByLoss(90, 0, epochs=5)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_order_is_a_function_of_seed_and_epoch(sampler):
    first = sampler.order(3)
    assert first.dtype == np.int64
    sampler.order(4)
    np.testing.assert_array_equal(sampler.order(3), first)
    assert (sampler.order(2) != first).any()


@pytest.mark.parametrize("make", [lambda s: Shuffled(90, s), lambda s: ClassBalanced(LABELS, s)])
def test_another_seed_is_another_order(make):
    assert (make(0).order(0) != make(1).order(0)).any()
    assert len(make(-1).order(0)) in (84, 90)


def test_shuffled_shows_each_image_once():
    assert sorted(Shuffled(90, 0).order(0)) == list(range(90))


def test_class_balanced_shows_each_class_equally_often_and_no_unknown():
    order = ClassBalanced(LABELS, 0).order(0)
    assert np.bincount(LABELS[order]).tolist() == [28, 28, 28], "84 labelled images, 3 classes"
    times = np.bincount(order, minlength=90)
    assert times[:50].max() == 1
    assert times[:30].sum() + times[30:50].sum() == 28
    assert times[80:84].tolist() == [7, 7, 7, 7]


def test_class_balanced_gives_the_remainder_to_some_classes():
    order = ClassBalanced(np.array([0, 0, 0, 1, 1]), 0).order(0)
    assert sorted(np.bincount(np.array([0, 0, 0, 1, 1])[order])) == [2, 3]


def test_class_balanced_needs_a_label():
    with pytest.raises(ValueError, match="no known label"):
        ClassBalanced(np.array([-1, -1]), 0)


def test_ranked_probabilities_follow_the_formula():
    sampler = RankedByLoss(4, 0, epochs=3, first=16.0, last=1.0)
    sampler.update(np.array([0, 1, 2, 3]), np.array([0.1, 5.0, 1.0, 0.5]))
    # Ranks 3, 0, 1, 2; exp(−rank·ln 16 / 4) = 2^−rank, that is 1, 1/2, 1/4, 1/8 of 15/8.
    expected = np.array([1 / 8, 1, 1 / 2, 1 / 4]) / (15 / 8)
    np.testing.assert_allclose(sampler.probabilities(0, np.random.default_rng(0)), expected)
    assert [sampler.pressure(epoch) for epoch in range(4)] == pytest.approx([16, 4, 1, 1])
    np.testing.assert_allclose(sampler.probabilities(2, np.random.default_rng(0)), 0.25)


def test_ranked_draws_are_as_frequent_as_their_probabilities():
    sampler = RankedByLoss(1000, 0, epochs=10)
    sampler.update(np.arange(1000), np.arange(1000.0))
    counts = np.bincount(np.concatenate([sampler.order(0) for sampler.seed in range(50)]), minlength=1000)
    expected = 50_000 * sampler.probabilities(0, np.random.default_rng(0))
    high, low = slice(900, 1000), slice(0, 100)
    assert counts[high].sum() == pytest.approx(expected[high].sum(), rel=0.05)
    assert counts[low].sum() == pytest.approx(expected[low].sum(), rel=0.2)


def test_unknown_losses_rank_highest():
    sampler = RankedByLoss(3, 0, epochs=2, first=8.0)
    sampler.update(np.array([0, 2]), np.array([9.0, 1.0]))
    assert sampler.probabilities(0, np.random.default_rng(0)).argmax() == 1


def test_losses_are_refreshed_every_so_many_epochs():
    sampler = RankedByLoss(3, 0, epochs=9, every=3)
    assert [epoch for epoch in range(9) if sampler.refresh(epoch)] == [0, 3, 6]


def test_a_ranked_sampler_goes_on_from_its_state():
    sampler = RankedByLoss(20, 0, epochs=4)
    sampler.update(np.arange(20), np.random.default_rng(0).random(20))
    state = sampler.state_dict()
    other = RankedByLoss(20, 0, epochs=4)
    other.load_state_dict(state)
    np.testing.assert_array_equal(other.order(1), sampler.order(1))
    sampler.update(np.array([0]), np.array([99.0]))
    assert other.losses[0] != 99.0
    assert state["losses"][0] != 99.0
    with pytest.raises(ValueError, match="20 losses, the data 5"):
        RankedByLoss(5, 0, epochs=4).load_state_dict(state)


@pytest.mark.parametrize("wrong", [{"first": 0.5}, {"last": 0.0}, {"every": 0}])
def test_a_pressure_below_one_is_refused(wrong):
    with pytest.raises(ValueError, match="none may be below 1"):
        RankedByLoss(3, 0, epochs=2, **wrong)
