"""What the options of DistractorAware change, each against a formula or a slow computation."""

import math

import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.objectives import CrossEntropy, DistractorAware, HardExamples, WeightedTasks
from objectives.networks import TwoHeads, batch, gradients, half_wrong, made, normalized, plain, predictions
from oracles import algorithm_one

EXACT = {"rtol": 1e-9, "atol": 1e-12}


def test_the_mean_distance_is_the_sum_with_both_constants_divided_by_the_pixels():
    network, (images, _) = made(normalized), batch()
    labels, pixels = half_wrong(network, images), 3 * 8 * 8
    mean = DistractorAware(0.01, 1e-4, distance="mean")(network, images, labels)
    total = DistractorAware(0.01 * pixels, 1e-4 * pixels, distance="sum")(network, images, labels)
    torch.testing.assert_close(mean.total, total.total, **EXACT)


def test_maps_of_the_batch_mean_loss_are_those_of_the_own_loss_with_both_constants_times_the_squared_batch():
    network, (images, _) = made(normalized), batch()
    labels = half_wrong(network, images)
    of_batch = DistractorAware(0.01, 1e-4, map_scale="batch")(network, images, labels)
    of_sample = DistractorAware(0.01 * 6**2, 1e-4 * 6**2)(network, images, labels)
    torch.testing.assert_close(of_batch.total, of_sample.total, **EXACT)
    expected = algorithm_one.frozen(network, images, labels, weight=0.01, distance="mean", divisor=6)
    torch.testing.assert_close(of_batch.total.detach(), expected.total, **EXACT)


def test_the_logarithmic_form_has_a_gradient_that_ignores_the_scale_of_the_maps():
    """At ε → 0, −log d of maps of the batch mean (A/B) differs from that of own losses by the constant 2 log B."""
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    own = DistractorAware(0.01, 1e-20, form="log")(network, images, labels)
    shrunk = DistractorAware(0.01, 1e-20, form="log", map_scale="batch")(network, images, labels)
    torch.testing.assert_close(
        shrunk.total - own.total, torch.tensor(0.01 * 0.5 * 2 * math.log(6), dtype=torch.float64), **EXACT
    )
    for one, other in zip(gradients(own.total, network), gradients(shrunk.total, network), strict=True):
        torch.testing.assert_close(one, other, **EXACT)


def test_runner_up_rivals_put_every_image_into_the_term():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    terms = DistractorAware(1.0, rival="runner_up")(network, images, labels)
    logits = network(images)
    expected = 0.0
    for i, label in enumerate(labels):
        x = images[i : i + 1].clone().requires_grad_()
        z = network(x)[0]
        rival = max((k for k in range(4) if k != label), key=lambda k, i=i: float(logits[i, k].detach()))
        (a,) = torch.autograd.grad(z[rival] - z[label], x)
        expected += 1 / (float(a.square().mean()) + 1e-4) / 6
    assert terms.parts["distractor"].item() == pytest.approx(expected, rel=1e-9)


def test_class_weights_act_on_the_classification_loss_only():
    network, (images, _) = made(normalized), batch()
    labels = half_wrong(network, images)
    weights = [0.5, 1.0, 2.0, 4.0]
    weighted = DistractorAware(0.01, base=CrossEntropy(weights))(network, images, labels)
    plain_terms = DistractorAware(0.01)(network, images, labels)
    assert torch.equal(weighted.parts["distractor"], plain_terms.parts["distractor"])
    expected = cross_entropy(weighted.logits, labels, torch.tensor(weights).double())
    torch.testing.assert_close(weighted.parts["cross_entropy"], expected, **EXACT)


def test_hard_examples_keep_the_distractor_terms_of_the_images_they_keep():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    terms = DistractorAware(1.0, base=HardExamples(0.3))(network, images, labels)
    losses = cross_entropy(network(images), labels, reduction="none")
    kept = losses.argsort(descending=True)[:2]
    assert not (predictions(network, images) == labels)[kept].any()
    expected = sum(
        algorithm_one.frozen(network, images[i : i + 1], labels[i : i + 1], distance="mean").distraction for i in kept
    )
    torch.testing.assert_close(terms.parts["distractor"].detach(), expected / 2, **EXACT)
    torch.testing.assert_close(terms.parts["cross_entropy"], losses[kept].mean(), **EXACT)


def test_several_tasks_sum_one_margin_each_over_the_known_labels():
    network, (images, _) = made(TwoHeads), batch()
    predicted = {task: logits.argmax(1) for task, logits in network(images).items()}
    labels = {"a": (predicted["a"] + 1) % 4, "b": (predicted["b"] + torch.tensor([0, 1, 0, 1, 0, 1])) % 2}
    labels["a"][2:] = -1
    base = WeightedTasks({"a": 1.0, "b": 0.5})
    terms = DistractorAware(1.0, base=base)(network, images, labels)

    def term(task, i):
        x = images[i : i + 1].clone().requires_grad_()
        z = network(x)[task][0]
        (a,) = torch.autograd.grad(z[predicted[task][i]] - z[labels[task][i]], x, create_graph=True)
        return 1 / (a.square().mean() + 1e-4)

    expected = (term("a", 0) + term("a", 1)) / 2 + 0.5 * (term("b", 1) + term("b", 3) + term("b", 5)) / 6
    torch.testing.assert_close(terms.parts["distractor"], expected, **EXACT)
    total = cross_entropy(terms.logits["a"][:2], labels["a"][:2]) + 0.5 * cross_entropy(terms.logits["b"], labels["b"])
    torch.testing.assert_close(terms.parts["cross_entropy"], total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), gradients(total + expected, network), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_an_unknown_label_takes_no_part():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    known = labels.clone()
    known[:2] = -1
    terms = DistractorAware(0.01)(network, images, known)
    expected = DistractorAware(0.01)(network, images[2:], labels[2:])
    torch.testing.assert_close(terms.total, expected.total, **EXACT)


def test_unknown_labels_cost_no_precision():
    network, (images, _) = made(plain), batch(10)
    labels = half_wrong(network, images)
    known = labels.clone()
    known[:3] = -1
    parts = [
        DistractorAware(0.01)(network, *given).parts["distractor"]
        for given in ((images, known), (images[3:], labels[3:]))
    ]
    torch.testing.assert_close(*parts, rtol=1e-12, atol=0)


def test_hard_examples_of_known_labels_keep_their_terms_as_if_the_others_were_not_there():
    network, (images, _) = made(plain), batch(10)
    labels = half_wrong(network, images)
    known = torch.tensor([1, 3, 4, 5, 6])
    masked = torch.full_like(labels, -1).index_copy(0, known, labels[known])
    objective = DistractorAware(0.01, base=HardExamples(0.7))
    terms, expected = objective(network, images, masked), objective(network, images[known], labels[known])
    for name, part in terms.parts.items():
        torch.testing.assert_close(part, expected.parts[name], **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), gradients(expected.total, network), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_the_statistics_are_the_share_of_wrong_images_and_quantiles_of_the_distances():
    network, (images, _) = made(normalized), batch(8)
    labels = half_wrong(network, images)
    distances = sorted(algorithm_one.frozen(network, images, labels, distance="mean").distances)
    stats = DistractorAware()(network, images, labels).stats
    assert stats["share_wrong"] == 0.5
    assert stats["distance_median"].item() == pytest.approx((distances[1] + distances[2]) / 2, rel=1e-9)
    low, high = stats["distance_q05"].item(), stats["distance_q95"].item()
    assert low == pytest.approx(distances[0] + 0.15 * (distances[1] - distances[0]), rel=1e-9)
    assert high == pytest.approx(distances[3] - 0.15 * (distances[3] - distances[2]), rel=1e-9)


def test_without_wrong_images_the_quantiles_are_not_numbers_and_the_term_is_zero():
    network, (images, _) = made(plain), batch()
    terms = DistractorAware()(network, images, predictions(network, images))
    assert terms.parts["distractor"].item() == 0
    assert math.isnan(terms.stats["distance_median"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, "`weight` is -1.0"),
        ({"epsilon": 0.0}, "`epsilon` is 0.0"),
        ({"weight": math.nan}, "`weight` is nan"),
        ({"normalization": "eval"}, "one of 'frozen', 'coupled', 'running'"),
        ({"distance": "max"}, "`distance` is 'max'"),
        ({"base": CrossEntropy(label_smoothing=0.1)}, "label_smoothing=0.1"),
        ({"base": HardExamples(base=CrossEntropy(label_smoothing=0.1))}, "label_smoothing=0.1"),
        ({"strength": 0.1, "detach": True}, "`strength` has no meaning"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DistractorAware(**arguments)
