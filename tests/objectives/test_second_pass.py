"""Wrappers are looked through, sharded networks refused, and statistics caught where Python cannot see them."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from danil.objectives import DistractorAware, batch_statistics, response_maps
from danil.objectives.batch_statistics import BatchStatistics
from danil.objectives.second_pass import bare_module, second_pass
from objectives.networks import SharedNorm, batch, gradients, half_wrong, made, normalized, plain
from oracles import algorithm_one

EXACT = {"rtol": 1e-9, "atol": 1e-12}


def wrapper(name: str, attribute: str = "module") -> type[nn.Module]:
    def forward(self, x):
        return getattr(self, attribute)(x)

    def start(self, inner):
        nn.Module.__init__(self)
        setattr(self, attribute, inner)

    return type(name, (nn.Module,), {"__init__": start, "forward": forward})


def test_wrappers_of_ddp_fabric_and_the_compiler_are_looked_through():
    network = plain()
    wrapped = wrapper("OptimizedModule", "_orig_mod")(network)
    for name in ("DistributedDataParallel", "_FabricModule"):
        wrapped = wrapper(name)(wrapped)
    assert bare_module(wrapped) is network


def test_a_network_with_an_attribute_named_module_is_no_wrapper():
    network = wrapper("Shifted")(plain())
    assert bare_module(network) is network


@pytest.mark.parametrize(
    ("name", "message"),
    [("FullyShardedDataParallel", "strategy='ddp'"), ("FSDPModule", "strategy='ddp'"), ("DataParallel", "torchrun")],
)
def test_sharded_and_threaded_networks_are_refused_with_the_way_out(name, message):
    images, labels = batch()
    for network in (wrapper(name)(plain()), wrapper("_FabricModule")(wrapper(name)(plain()))):
        with pytest.raises(ValueError, match=message):
            DistractorAware()(network, images, labels)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_synchronised_normalisation_hands_over_its_statistics_through_its_buffers(monkeypatch, momentum):
    monkeypatch.setattr(batch_statistics, "distributed_run", lambda: True)  # one rank: the same numbers as alone
    network, (images, _) = nn.SyncBatchNorm.convert_sync_batchnorm(made(normalized)), batch()
    for module in network.modules():
        if isinstance(module, nn.SyncBatchNorm):
            module.momentum = momentum
    labels = half_wrong(network, images)
    twin = copy.deepcopy(network)
    twin(images)
    expected = algorithm_one.frozen(network, images, labels, weight=0.01, distance="mean")
    terms = DistractorAware(0.01)(network, images, labels)
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    for ours, theirs in zip(network.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


class Broken(nn.Module):
    def forward(self, x):
        raise RuntimeError("broken")


def test_an_error_in_the_first_pass_restores_momentum_and_buffers():
    network = made(normalized)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    statistics = BatchStatistics(list(network.modules()), compiled=True)
    network.insert(2, Broken())
    with pytest.raises(RuntimeError, match="broken"), statistics.caught(batch()[0]):
        network(batch()[0])
    assert network[1].momentum == 0.1
    assert torch.equal(network[1].running_mean, before["1.running_mean"])
    assert torch.equal(network[1].running_var, before["1.running_var"])


def test_a_shared_layer_whose_statistics_cannot_be_told_apart_is_refused(monkeypatch):
    monkeypatch.setattr(batch_statistics, "distributed_run", lambda: True)
    network, (images, _) = nn.SyncBatchNorm.convert_sync_batchnorm(made(SharedNorm)), batch()
    with pytest.raises(ValueError, match="called more than once per pass"):
        DistractorAware()(network, images, half_wrong(network, images))


class OwnNormalization(nn.Module):
    """Batch statistics of a layer that PyTorch does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_var", torch.ones(3))

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.running_var.copy_(x.var((0, 2, 3)))
        return x / self.running_var.view(1, -1, 1, 1).sqrt()


def test_batch_statistics_out_of_sight_are_refused_where_they_would_be_replaced_silently():
    network, (images, labels) = nn.Sequential(OwnNormalization(), plain()).double(), batch()
    with pytest.raises(ValueError, match="OwnNormalization updated its running statistics out of sight"):
        DistractorAware()(network, images, labels)
    DistractorAware(normalization="running")(network, images, labels)
    DistractorAware()(network.eval(), images, labels)


def test_layers_without_running_statistics_use_the_first_passes_by_their_weight_or_are_refused():
    def network(affine):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(4, affine=affine, track_running_stats=False)
        return nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.Tanh(), nn.Flatten(), nn.Linear(144, 4)).double()

    (images, _), tracking = batch(), network(True)
    tracking[1] = nn.BatchNorm2d(4).double()
    labels = half_wrong(tracking, images)
    ours, theirs = (DistractorAware(0.01)(n, images, labels).total for n in (network(True), tracking))
    torch.testing.assert_close(ours, theirs, **EXACT)
    with pytest.raises(ValueError, match="keeps no running statistics by which its call could be recognised"):
        DistractorAware()(network(False), images, labels)


@pytest.mark.parametrize("variance", [1.0, 100.0])
def test_a_layer_told_later_to_track_nothing_uses_the_first_passes_statistics_like_one_that_tracks(variance):
    tracking, (images, _) = made(normalized), batch()
    untracking = copy.deepcopy(tracking)
    untracking[1].track_running_stats = False  # its buffers stay, and eval mode goes on using them
    untracking[1].running_var.fill_(variance)
    labels = half_wrong(tracking, images)
    ours, theirs = (DistractorAware(0.01)(n, images, labels).total for n in (untracking, tracking))
    torch.testing.assert_close(ours, theirs, **EXACT)
    for mine, its in zip(gradients(ours, untracking), gradients(theirs, tracking), strict=True):
        torch.testing.assert_close(mine, its, **EXACT)


def test_a_layer_without_weight_told_later_to_track_nothing_is_refused():
    network, (images, labels) = made(normalized), batch()
    network[5].track_running_stats = False
    with pytest.raises(ValueError, match="keeps no running statistics by which its call could be recognised"):
        DistractorAware()(network, images, labels)


def test_weight_standardisation_by_batch_norm_stays_differentiable():
    class Standardized(nn.Conv2d):
        def forward(self, x):
            weight = functional.batch_norm(self.weight.view(1, len(self.weight), -1), None, None, training=True)
            return functional.conv2d(x, weight.reshape_as(self.weight), self.bias)

    torch.manual_seed(0)
    network = nn.Sequential(Standardized(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(144, 4))
    network, (images, _) = network.double(), batch()
    labels = half_wrong(network, images)
    expected = algorithm_one.frozen(network, images, labels, weight=0.01, distance="mean")
    terms = DistractorAware(0.01)(network, images, labels)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


def test_activation_checkpointing_is_off_in_the_second_pass_and_on_afterwards():
    class Checkpointed(nn.Module):
        grad_checkpointing = False

        def __init__(self):
            super().__init__()
            self.trunk, self.grad_checkpointing, self.used = plain(), True, []

        def forward(self, x):
            self.used.append(self.grad_checkpointing)
            return self.trunk(x)

    network, (images, _) = made(Checkpointed), batch()
    labels = half_wrong(network, images)
    network.used.clear()
    DistractorAware()(network, images, labels)
    assert network.used == [True, False]
    assert network.grad_checkpointing


def test_dropout_that_attention_is_told_to_use_in_any_mode_is_off_in_the_second_pass():
    class Attention(nn.Module):
        def forward(self, x):
            return functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5)

    network, (images, _) = Attention(), batch()
    with second_pass(network, [network], images, functional.batch_norm):
        torch.testing.assert_close(network(images), functional.scaled_dot_product_attention(images, images, images))


def scripted(network, at):
    """Return the network with one of its parts compiled to TorchScript, or all of it."""
    network = copy.deepcopy(network)
    if at is None:
        return torch.jit.script(network)
    network[at] = torch.jit.script(network[at])
    return network


@pytest.mark.filterwarnings("ignore:.*torch.jit")  # deprecated, and still met
@pytest.mark.parametrize("at", [None, 1])
def test_torchscript_is_in_eval_mode_in_the_second_pass_and_as_it_was_afterwards(at):
    """Dropout would change the term, and a BatchNorm in train mode its running statistics once more."""
    layers = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Sequential(nn.Dropout(0.5), nn.Tanh())]
    network, (images, _) = made(lambda: nn.Sequential(*layers, nn.Flatten(), nn.Linear(144, 4))), batch()
    labels = half_wrong(network, images)
    script = scripted(network, at)
    results = []
    for model in (network, script):
        torch.manual_seed(3)
        terms = DistractorAware(0.01, normalization="running")(model, images, labels)
        results.append([terms.total, *gradients(terms.total, model), *model.buffers()])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)
    assert all(module.training for module in script.modules())


@pytest.mark.filterwarnings("ignore:.*torch.jit")  # deprecated, and still met
@pytest.mark.parametrize("at", [None, 0])
def test_torchscript_whose_batch_statistics_nobody_sees_is_refused_in_train_mode(at):
    layers = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)), nn.Flatten(), nn.Linear(144, 4)]
    network, (images, labels) = scripted(made(lambda: nn.Sequential(*layers)), at), batch()
    with pytest.raises(ValueError, match=r"the BatchNorm2d of a TorchScript module normalises out of sight.*'running'"):
        DistractorAware()(network, images, labels)
    DistractorAware()(network.eval(), images, labels)


def test_noise_of_the_networks_own_leaves_the_random_state_as_found():
    network = plain().double()
    before = torch.get_rng_state()
    with second_pass(network, list(network.modules()), batch()[0], functional.batch_norm):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_channels_last_images_stay_so_in_the_second_pass():
    network, (images, _) = made(plain), batch()
    labels = half_wrong(network, images)
    seen = []
    network.register_forward_pre_hook(lambda _, x: seen.append(x[0].is_contiguous(memory_format=torch.channels_last)))
    DistractorAware()(network, images.contiguous(memory_format=torch.channels_last), labels)
    assert seen == [True, True]


@pytest.mark.parametrize("affine", [False, True])
def test_one_wrong_image_in_channels_last_memory_has_the_gradient_that_it_has_in_any(affine):
    layers = [nn.Conv2d(3, 6, 3), nn.InstanceNorm2d(6, affine=affine), nn.SiLU(), nn.Conv2d(6, 6, 3), nn.Tanh()]
    network, (images, _) = made(lambda: nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, 4))), batch()
    labels = half_wrong(network, images)
    labels[2:] = -1
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    moved = images.contiguous(memory_format=torch.channels_last)
    ours, theirs = DistractorAware(0.01)(last, moved, labels), DistractorAware(0.01)(network, images, labels)
    torch.testing.assert_close(ours.total, theirs.total, **EXACT)
    for mine, its in zip(gradients(ours.total, last), gradients(theirs.total, network), strict=True):
        torch.testing.assert_close(mine, its, **EXACT)
    maps = [response_maps(n, x[:1], labels[:1]).difference for n, x in ((last, moved), (network, images))]
    torch.testing.assert_close(*maps, **EXACT)
