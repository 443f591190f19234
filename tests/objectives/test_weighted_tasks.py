import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.objectives import HardExamples, WeightedTasks
from objectives.networks import TwoHeads, batch, made


def test_each_task_counts_with_its_weight():
    network, (images, labels) = made(TwoHeads), batch()
    targets = {"a": labels, "b": labels % 2}
    terms = WeightedTasks({"a": 2.0, "b": 0.25, "unused": 7.0})(network, images, targets)
    expected = 2 * cross_entropy(terms.logits["a"], labels) + 0.25 * cross_entropy(terms.logits["b"], labels % 2)
    torch.testing.assert_close(terms.total, expected)


def test_hard_examples_are_chosen_by_the_weighted_sum_of_the_tasks():
    network, (images, labels) = made(TwoHeads), batch()
    targets = {"a": labels, "b": labels % 2}
    tasks = WeightedTasks({"a": 2.0, "b": 0.25})
    terms = HardExamples(0.5, tasks)(network, images, targets)
    losses = tasks.per_image(terms.logits, targets)
    torch.testing.assert_close(terms.total, losses.sort().values[3:].mean())


def test_bad_weights_and_tasks_without_weight_are_named():
    with pytest.raises(ValueError, match=r"`weights\['a'\]` is -1"):
        WeightedTasks({"a": -1})
    with pytest.raises(ValueError, match=r"no entry for the task 'b'; it has \['a'\]"):
        WeightedTasks({"a": 1.0}).per_image({"b": torch.zeros(1, 2)}, {"b": torch.tensor([0])})
