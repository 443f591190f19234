import pytest
import torch

from danil.models import CrossDiseaseHead, create_model
from danil.models.canet import ChannelGate, CrossAttention, DiseaseAttention, SpatialGate
from oracles import canet as oracle

TWO = {"dr": tuple("01234"), "dme": tuple("012")}


@pytest.fixture
def features():
    return torch.randn(2, 32, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def weights(bottleneck):
    return bottleneck[0].weight.detach(), bottleneck[2].weight.detach()


def spatial_weights(gate):
    norm = gate.norm
    return (
        gate.convolution.weight.detach(),
        norm.running_mean,
        norm.running_var,
        norm.weight.detach(),
        norm.bias.detach(),
    )


def shaken(gate):
    with torch.no_grad():
        gate.norm.running_mean += 0.3
        gate.norm.running_var *= 1.7
        gate.norm.weight *= 2.5
        gate.norm.bias += 0.2
    return gate


def test_the_channel_gate_is_its_equation_with_reduction_16(features):
    gate = ChannelGate(32).double()
    first, second = weights(gate.bottleneck)
    assert first.shape == (2, 32)
    torch.testing.assert_close(gate(features)[:, :, 0, 0], oracle.channel_gate(features, first, second))


def test_the_spatial_gate_is_its_equation(features):
    gate = shaken(SpatialGate().double().eval())
    torch.testing.assert_close(gate(features)[:, 0], oracle.spatial_gate(features, *spatial_weights(gate)))


def test_the_spatial_gate_normalizes_over_the_batch_in_training(features):
    gate = SpatialGate().double()
    found = gate(features)
    raw = gate.convolution(torch.cat([features.amax(1, keepdim=True), features.mean(1, keepdim=True)], 1))
    expected = torch.sigmoid((raw - raw.mean()) / torch.sqrt(raw.var(correction=0) + 1e-5))
    torch.testing.assert_close(found, expected)


def test_one_disease_is_reduced_as_the_equations_say(features):
    attention = DiseaseAttention(32, 0.3).double().eval()
    shaken(attention.spatial_gate)
    first, second = weights(attention.channel_gate.bottleneck)
    gated = features * oracle.channel_gate(features, first, second)[:, :, None, None]
    places = oracle.spatial_gate(gated, *spatial_weights(attention.spatial_gate))
    pooled = (gated * places[:, None]).flatten(2).mean(2)
    found, gate = attention(features)
    assert found.shape == (2, 1024)
    torch.testing.assert_close(found, pooled @ attention.layer.weight.T + attention.layer.bias)
    torch.testing.assert_close(gate[:, 0], places)


def test_the_cross_part_is_its_equation():
    cross = CrossAttention().double()
    vectors = torch.randn(2, 1024, dtype=torch.float64)
    torch.testing.assert_close(cross(vectors), oracle.crossed(vectors, *weights(cross.bottleneck)))


def test_two_diseases_lend_each_other_their_crossed_features(features):
    head = CrossDiseaseHead(32, TWO).double().eval()
    own = [disease(features)[0].detach() for disease in head.diseases]
    lent = [oracle.crossed(vector, *weights(cross.bottleneck)) for vector, cross in zip(own, head.crosses, strict=True)]
    logits = head(features)
    torch.testing.assert_close(logits["dr"], head.finals[0](own[0] + lent[1]))
    torch.testing.assert_close(logits["dme"], head.finals[1](own[1] + lent[0]))
    torch.testing.assert_close(logits["aux/dr"], head.auxiliaries[0](own[0]))
    torch.testing.assert_close(logits["aux/dme"], head.auxiliaries[1](own[1]))
    torch.testing.assert_close(head.pooled(features), torch.cat([own[0] + lent[1], own[1] + lent[0]], 1))


def test_one_disease_adds_its_own_crossed_features(features):
    head = CrossDiseaseHead(32, {"dr": tuple("01234")}).double().eval()
    own = head.diseases[0](features)[0].detach()
    logits = head(features)
    assert list(logits) == ["dr", "aux/dr"]
    expected = head.finals[0](own + oracle.crossed(own, *weights(head.crosses[0].bottleneck)))
    torch.testing.assert_close(logits["dr"], expected)


def test_the_classifier_shows_one_attention_map_per_task():
    model = create_model("test_resnet", TWO, weights="none", head="canet").eval()
    images = torch.randn(2, 3, 64, 64)
    maps = model.attention_maps(images)
    height, width = model.feature_map(images).shape[2:]
    assert {task: tuple(value.shape) for task, value in maps.items()} == {
        "dr": (2, 1, height, width),
        "dme": (2, 1, height, width),
    }
    assert model.features(images).shape == (2, 2048)
    assert create_model("test_resnet", TWO, weights="none").attention_maps(images) == {}
