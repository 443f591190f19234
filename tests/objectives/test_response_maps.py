import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from danil.objectives import response_maps
from objectives.networks import TwoHeads, batch, instance_normalized, made, normalized


def test_each_map_is_the_gradient_of_the_images_own_loss_in_eval_mode():
    network, (images, labels) = made(normalized), batch()
    maps = response_maps(network, images, labels)
    frozen = copy.deepcopy(network).eval()
    for i in range(len(images)):
        x = images[i : i + 1].clone().requires_grad_()
        z = frozen(x)
        rival = int(z[0].where(torch.arange(4) != labels[i], -torch.inf).argmax())
        assert maps.rivals[i] == rival
        (truth,) = torch.autograd.grad(cross_entropy(z, labels[i : i + 1]), x, retain_graph=True)
        (other,) = torch.autograd.grad(cross_entropy(z, torch.tensor([rival])), x)
        torch.testing.assert_close(maps.truth[i], truth[0])
        torch.testing.assert_close(maps.rival[i], other[0])
        torch.testing.assert_close(maps.difference[i], (truth - other)[0])
        torch.testing.assert_close(maps.logits[i], z[0].detach())


def test_with_two_classes_both_maps_are_the_same_picture_up_to_sign_and_scale():
    network, (images, _) = made(lambda: normalized(2)), batch()
    maps = response_maps(network, images, torch.zeros(6, dtype=torch.int64))
    probability = maps.logits.softmax(1)[:, :, None, None]
    torch.testing.assert_close(
        maps.truth * probability[:, :1, None, :, 0], -maps.rival * probability[:, 1:, None, :, 0]
    )


def test_given_rivals_and_a_named_task_are_used():
    network, (images, labels) = made(TwoHeads), batch()
    maps = response_maps(network, images, labels % 2, rivals=1 - labels % 2, task="b")
    assert torch.equal(maps.rivals, 1 - labels % 2)
    assert maps.logits.shape == (6, 2)


def test_nothing_is_left_behind():
    network, (images, labels) = made(normalized), batch()
    network[1].eval()
    state = {name: value.clone() for name, value in network.state_dict().items()}
    modes, random = [m.training for m in network.modules()], torch.get_rng_state()
    maps = response_maps(network, images, labels)
    assert not any(value.requires_grad for value in vars(maps).values())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert [m.training for m in network.modules()] == modes
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in network.parameters())
    assert not images.requires_grad


def test_instance_normalisation_that_tracks_statistics_is_in_eval_mode_and_its_buffers_stay():
    network, (images, labels) = made(instance_normalized), batch()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = response_maps(network, images, labels)
    for name, value in network.state_dict().items():  # PyTorch 2.9 itself rounds them anew in eval mode
        torch.testing.assert_close(value, before[name], rtol=1e-12, atol=0)
    torch.testing.assert_close(found.logits, network.eval()(images).detach())


def test_inference_mode_around_the_call_is_no_obstacle():
    network, (images, labels) = made(normalized), batch()
    expected = response_maps(network, images, labels).truth
    with torch.inference_mode():
        torch.testing.assert_close(response_maps(network, images, labels).truth, expected)


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        (torch.tensor([-1] * 6), "a", "holds −1"),
        (torch.tensor([9] * 6), "a", r"`targets\['labels'\]` holds 9"),
        (torch.tensor([0] * 6), None, r"`task` is None; the network has the heads \['a', 'b'\]"),
        (torch.tensor([0] * 6), "c", "`task` is 'c'"),
    ],
)
def test_bad_labels_and_tasks_are_named(labels, task, message):
    network, (images, _) = made(TwoHeads), batch()
    with pytest.raises(ValueError, match=message):
        response_maps(network, images, labels, task=task)
