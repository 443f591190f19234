import math

import pytest
import torch

from danil.objectives import DistractorAware
from danil.objectives.gradient_ratio import GradientRatio
from objectives.networks import batch, gradients, half_wrong, made, plain, predictions


def norm(value, network):
    return torch.cat([g.flatten() for g in gradients(value, network)]).norm().item()


def test_the_ratio_is_that_of_both_gradients_at_every_nth_step_and_no_number_between():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    objective = DistractorAware(0.01, measure_every=3)
    ratios = []
    for _ in range(4):
        terms = objective(network, images, labels)
        ratios.append(terms.stats["gradient_ratio"].item())
    expected = norm(terms.parts["distractor"], network) / norm(terms.parts["cross_entropy"], network)
    assert [math.isnan(r) for r in ratios] == [False, True, True, False]
    assert ratios[0] == pytest.approx(expected, rel=1e-5)


def test_without_wrong_images_the_measured_ratio_is_zero():
    network, (images, _) = made(plain), batch()
    terms = DistractorAware(measure_every=1)(network, images, predictions(network, images))
    assert terms.stats["gradient_ratio"] == 0


def test_measuring_goes_backward_through_the_first_pass_once_with_and_without_wrong_images():
    """Where that talks to other processes (SyncBatchNorm), all must do so alike."""
    passes = []

    class Synchronised(torch.nn.Module):
        def forward(self, x):
            if self.training and x.requires_grad:
                x.register_hook(lambda gradient: passes.append(1))
            return x

    network, (images, _) = made(lambda: torch.nn.Sequential(plain()[0], Synchronised(), plain()[1:])), batch()
    right = predictions(network, images)
    for labels in (right, (right + 1) % 4):
        passes.clear()
        DistractorAware(measure_every=1)(network, images, labels)
        assert len(passes) == 1


def test_a_strength_sets_the_weight_so_that_the_ratio_of_gradient_norms_is_held():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    objective = DistractorAware(strength=0.25)
    for _ in range(2):
        terms = objective(network, images, labels)
        ratio = norm(terms.parts["distractor"], network) / norm(terms.parts["cross_entropy"], network)
        assert ratio == pytest.approx(0.25, rel=1e-5)
        assert terms.stats["distractor_weight"].item() == pytest.approx(
            terms.parts["distractor"].item() / DistractorAware(1.0)(network, images, labels).parts["distractor"].item()
        )


def test_the_weight_follows_a_running_average_with_decay_nine_tenths():
    ratio = GradientRatio(2.0, every=1)
    parameter = torch.tensor(1.0, requires_grad=True)
    for plus, minus in ((8.0, 4.0), (18.0, 24.0)):
        ratio.measured(parameter * plus, parameter * minus, [parameter])
    assert ratio.weight().item() == pytest.approx(2 * (0.9 * 8 + 0.1 * 18) / (0.9 * 4 + 0.1 * 24))


def test_steps_without_wrong_images_or_with_overflow_leave_the_average_as_it_is():
    ratio = GradientRatio(2.0, every=1)
    parameter = torch.tensor(1.0, requires_grad=True)
    assert ratio.weight() == 0
    for plus, minus in ((1.0, 0.0), (8.0, 4.0), (1.0, 0.0), (math.inf, 1.0)):
        ratio.measured(parameter * plus, parameter * minus, [parameter])
    assert ratio.weight() == 4


def test_averages_and_step_count_are_part_of_the_state():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    objective, twin = DistractorAware(strength=0.25, measure_every=2), DistractorAware(strength=0.25, measure_every=2)
    objective(network, images, labels)
    twin.load_state_dict(objective.state_dict())
    first, second = objective(network, images, labels), twin(network, images, labels)
    assert torch.equal(first.total, second.total)
    assert int(twin.ratio.steps) == 2


def test_a_negative_interval_is_refused():
    with pytest.raises(ValueError, match="`measure_every` is -1"):
        DistractorAware(measure_every=-1)
