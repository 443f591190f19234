"""Which statistics belong to which image: every case in which that is known, and a refusal of every other."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from danil.objectives import DistractorAware, batch_statistics, response_maps
from objectives.networks import batch, gradients, half_wrong, made, normalized
from oracles import algorithm_one

EXACT = {"rtol": 1e-9, "atol": 1e-12}
WAY_OUT = "Use normalization='coupled' or 'running'"


def check(network, images, labels, expected, **options):
    terms = DistractorAware(0.01, **options)(network, images, labels)
    torch.testing.assert_close(terms.total.detach(), expected.total, **EXACT)
    for ours, theirs in zip(gradients(terms.total, network), expected.gradients, strict=True):
        torch.testing.assert_close(ours, theirs, **EXACT)


class InTurn(nn.Module):
    """Run an encoder on parts of what it is given, one after another, and put the features together again."""

    def __init__(self, parts, joined=torch.cat):
        super().__init__()
        self.parts, self.joined = parts, joined
        self.encoder = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.SiLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        parts = self.parts(self, x)
        return self.head(self.joined([self.encoder(part).flatten(1) for part in parts]))


def chunks(network, x):
    return x.chunk(2)


def chunks_in_train_mode(network, x):
    return x.chunk(2) if network.training else [x]


def chunks_in_eval_mode(network, x):
    return [x] if network.training else x.split(1)


def bags(network, x):
    return list(x)


def means(features):
    return torch.stack([f.mean(0) for f in features])


def bagged(size, instances):
    return batch(size * instances)[0].unflatten(0, (size, instances))


REFUSED = {
    "chunks": (lambda: InTurn(chunks), lambda: batch()[0]),
    "chunks in train mode": (lambda: InTurn(chunks_in_train_mode), lambda: batch()[0]),
    "single images in eval mode": (lambda: InTurn(chunks_in_eval_mode), lambda: batch()[0]),
    "bags": (lambda: InTurn(bags, means), lambda: bagged(6, 4)),
    "as many bags as instances": (lambda: InTurn(bags, means), lambda: bagged(6, 6)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_layer_that_sees_parts_of_the_batch_in_turn_is_refused_with_a_way_out_that_works(case):
    factory, images = REFUSED[case][0], REFUSED[case][1]()
    network = made(factory)
    labels = half_wrong(network, images)
    with pytest.raises(ValueError, match=f"a BatchNorm2d sees parts of the batch of 6 in turn.*{WAY_OUT}"):
        DistractorAware()(network, images, labels)
    expected = algorithm_one.coupled(network, images, labels, weight=0.01, distance="mean")
    check(network, images, labels, expected, normalization="coupled")


class Crops(nn.Module):
    """Run four crops of each image as one batch, image by image or crop by crop."""

    def __init__(self, dim, norm=nn.BatchNorm1d):
        super().__init__()
        self.dim, self.convolution, self.norm, self.head = dim, nn.Conv2d(3, 6, 3), norm(6), nn.Linear(6, 4)

    def forward(self, x):
        crops = torch.stack([x[..., :4, :4], x[..., 4:, :4], x[..., :4, 4:], x[..., 4:, 4:]], self.dim)
        features = torch.tanh(self.norm(self.convolution(crops.flatten(0, 1)).mean((2, 3))))
        return self.head(features.unflatten(0, crops.shape[:2]).mean(self.dim))


@pytest.mark.parametrize("dim", [0, 1])
def test_several_crops_of_each_image_in_one_batch_equal_algorithm_one(dim):
    network, (images, _) = made(lambda: Crops(dim)), batch()
    labels = half_wrong(network, images)
    check(network, images, labels, algorithm_one.frozen(network, images, labels, weight=0.01, distance="mean"))


@pytest.mark.parametrize("dim", [0, 1])
def test_synchronised_statistics_of_several_crops_are_those_of_all_their_values(monkeypatch, dim):
    monkeypatch.setattr(batch_statistics, "distributed_run", lambda: True)  # one rank: the same numbers as alone
    network, (images, _) = nn.SyncBatchNorm.convert_sync_batchnorm(made(lambda: Crops(dim))), batch()
    labels = half_wrong(network, images)
    check(network, images, labels, algorithm_one.frozen(network, images, labels, weight=0.01, distance="mean"))


def test_crops_that_go_through_a_layer_one_after_another_keep_their_own_statistics():
    def crops(network, x):
        return x[..., :4], x[..., 4:]

    def side_by_side(features):
        return torch.stack(features).mean(0)

    network, (images, _) = made(lambda: InTurn(crops, side_by_side)), batch()
    twice = made(lambda: InTurn(crops, side_by_side))
    labels = half_wrong(network, images)
    apart = nn.ModuleList([made(lambda: InTurn(crops)).encoder for _ in range(2)])
    twice.forward = lambda x: twice.head(
        torch.stack([e(part).flatten(1) for e, part in zip(apart, crops(None, x), strict=True)]).mean(0)
    )
    twice.encoder, twice.apart = None, apart
    for encoder in apart:
        encoder.load_state_dict(network.encoder.state_dict())
    ours, theirs = (DistractorAware(0.01)(n, images, labels).total for n in (network, twice))
    torch.testing.assert_close(ours, theirs, **EXACT)
    one, first, second = (gradients(v, n) for v, n in ((ours, network.encoder), (theirs, apart[0]), (theirs, apart[1])))
    for whole, a, b in zip(one, first, second, strict=True):
        torch.testing.assert_close(whole, a + b, **EXACT)


def test_an_auxiliary_head_that_runs_in_train_mode_only_is_no_obstacle():
    class Supervised(nn.Module):
        def __init__(self):
            super().__init__()
            self.trunk, self.aux = normalized(), normalized()

        def forward(self, x):
            logits = self.trunk(x)
            return {"grade": logits, "aux/grade": self.aux(x)} if self.training else {"grade": logits}

    network, (images, _) = made(Supervised), batch()
    labels = half_wrong(network.trunk, images)
    expected = DistractorAware()(network.trunk, images, labels).total
    torch.testing.assert_close(DistractorAware()(network, images, {"grade": labels}).total, expected, **EXACT)


class OwnNorm(nn.Module):
    """Call the function as many published networks do, with buffers of other names."""

    def __init__(self, channels, kept=True):
        super().__init__()
        self.register_buffer("moving_mean", torch.zeros(channels))
        self.register_buffer("moving_variance", torch.ones(channels))
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.kept = kept

    def forward(self, x):
        mean, variance = self.moving_mean, self.moving_variance
        if not self.kept:
            mean, variance = mean.clone(), variance.clone()
        return functional.batch_norm(x, mean, variance, self.weight, self.bias, self.training)


def around(norm):
    return nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.SiLU(), nn.Flatten(), nn.Linear(216, 4))


def test_a_module_of_ones_own_that_calls_batch_norm_uses_the_first_passes_statistics_like_torchs():
    own, torchs, (images, _) = made(lambda: around(OwnNorm(6))), made(lambda: around(nn.BatchNorm2d(6))), batch()
    with torch.no_grad():
        torchs[1].weight.fill_(1), torchs[1].bias.fill_(0)
        torchs[4].load_state_dict(own[4].state_dict()), torchs[0].load_state_dict(own[0].state_dict())
    labels = half_wrong(torchs, images)
    check(own, images, labels, algorithm_one.frozen(torchs, images, labels, weight=0.01, distance="mean"))


def test_a_call_that_cannot_be_recognised_in_the_second_pass_is_refused():
    network, (images, _) = made(lambda: around(OwnNorm(6, kept=False))), batch()
    labels = half_wrong(network, images)
    with pytest.raises(ValueError, match=rf"a call of `batch_norm` .*another number of times.*{WAY_OUT}"):
        DistractorAware()(network, images, labels)
    DistractorAware(normalization="running")(network, images, labels)


class Bare(nn.Module):
    def forward(self, x):
        return functional.batch_norm(x, None, None, training=True)


def test_batch_statistics_by_which_nothing_can_be_recognised_are_refused():
    network, (images, _) = made(lambda: around(Bare())), batch()
    labels = half_wrong(network, images)
    with pytest.raises(ValueError, match="has no running statistics and no weight to be recognised by"):
        DistractorAware()(network, images, labels)


@pytest.mark.parametrize("norm", [Bare, lambda: nn.BatchNorm2d(6, track_running_stats=False)])
def test_batch_statistics_in_eval_mode_are_refused_where_each_image_stands_alone(norm):
    network, (images, _) = made(lambda: around(norm())), batch()
    labels = half_wrong(network, images)
    message = "batch statistics in eval mode too.*normalization='coupled'"
    with pytest.raises(ValueError, match=message):
        DistractorAware(normalization="running")(network, images, labels)
    with pytest.raises(ValueError, match=message):
        response_maps(network, images, labels)
    DistractorAware(normalization="coupled")(network, images, labels)
    response_maps(network, images[:1], labels[:1])


def test_a_layer_that_uses_its_running_statistics_in_train_mode_uses_them_in_the_second_pass():
    class Fixed(nn.BatchNorm2d):
        def forward(self, x):
            return functional.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)

    network, (images, _) = made(lambda: around(Fixed(6))), batch()
    labels = half_wrong(network, images)
    expected = algorithm_one.running(network, images, labels, weight=0.01, distance="mean")
    check(network, images, labels, expected)


def test_a_layer_that_runs_in_the_second_pass_only_is_refused():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(6)

        def forward(self, x):
            return x if self.training else self.norm(x)

    network, (images, _) = made(lambda: around(Late())), batch()
    labels = half_wrong(network, images)
    with pytest.raises(ValueError, match="a BatchNorm2d ran in the second pass only"):
        DistractorAware()(network, images, labels)
