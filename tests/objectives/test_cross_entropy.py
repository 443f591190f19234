import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.objectives import CrossEntropy

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0], [0.0, 1.0, 0.0], [4.0, 1.0, 1.0]], dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0])


def loss(objective, logits, labels):
    return objective.reduce(objective.per_image(logits, labels))


def test_two_even_classes_cost_the_logarithm_of_two():
    value = loss(CrossEntropy(), torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64))
    assert value.item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 5.0]])
def test_the_loss_is_that_of_pytorch(weights, smoothing):
    tensor = None if weights is None else torch.tensor(weights, dtype=torch.float64)
    expected = cross_entropy(LOGITS, LABELS, tensor, label_smoothing=smoothing)
    torch.testing.assert_close(loss(CrossEntropy(weights, smoothing), LOGITS, LABELS), expected)


def test_an_unknown_label_is_left_out_of_the_mean():
    labels = torch.tensor([0, -1, 2, -1])
    expected = cross_entropy(LOGITS[[0, 2]], LABELS[[0, 2]])
    torch.testing.assert_close(loss(CrossEntropy(), LOGITS, labels), expected)
    weighted = cross_entropy(LOGITS[[0, 2]], LABELS[[0, 2]], torch.tensor([1.0, 1.0, 3.0]).double())
    torch.testing.assert_close(loss(CrossEntropy([1.0, 1.0, 3.0]), LOGITS, labels), weighted)


def test_a_batch_of_unknown_labels_has_loss_and_gradient_zero():
    logits = LOGITS.clone().requires_grad_()
    value = loss(CrossEntropy(), logits, torch.full((4,), -1))
    value.backward()
    assert value.item() == 0
    assert not logits.grad.any()


def test_several_tasks_are_summed_each_over_its_own_known_labels():
    labels = {"a": LABELS, "b": torch.tensor([1, -1, -1, 0])}
    logits = {"a": LOGITS, "b": LOGITS[:, :2], "aux/a": LOGITS}
    objective = CrossEntropy({"b": [1.0, 2.0]})
    expected = cross_entropy(LOGITS, LABELS) + cross_entropy(
        LOGITS[[0, 3], :2], torch.tensor([1, 0]), torch.tensor([1.0, 2.0]).double()
    )
    torch.testing.assert_close(loss(objective, logits, labels), expected)


def test_half_precision_logits_are_widened_before_the_loss():
    logits = LOGITS.bfloat16()
    value = loss(CrossEntropy(), logits, LABELS)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, cross_entropy(logits.float(), LABELS))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_smoothing": 1.0}, "`label_smoothing` is 1.0"),
        ({"class_weights": [1.0, -1.0]}, "`class_weights` is"),
        ({"class_weights": [0.0, 0.0]}, "not all 0"),
        ({"class_weights": {"a": [math.inf, 1.0]}}, r"`class_weights\['a'\]` is"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropy(**arguments)


def test_weights_for_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="has 2 numbers; the network has 3 classes"):
        CrossEntropy([1.0, 2.0]).per_image(LOGITS, LABELS)


@pytest.mark.parametrize(
    ("weights", "logits", "labels", "words"),
    [
        ([1.0, 2.0, 3.0], {"grade": LOGITS}, {"grade": LABELS}, "of one task.*answers with the task 'grade'"),
        ({"grade": [1.0, 2.0, 3.0]}, LOGITS, LABELS, "by task.*answers with one tensor"),
    ],
)
def test_weights_that_would_not_act_are_refused(weights, logits, labels, words):
    with pytest.raises(ValueError, match=words):
        CrossEntropy(weights).per_image(logits, labels)
