import pytest
import torch

from danil.explanation import AttributionError
from danil.explanation.attributions import attention
from danil.models import create_model

TASKS = {"DR": tuple("01234"), "DME": tuple("012")}


def test_attention_is_the_task_s_spatial_gate_at_the_image_s_size():
    torch.manual_seed(0)
    model = create_model("test_resnet", TASKS, weights="none", head="canet").train()
    images, labels = torch.randn(2, 3, 64, 64), torch.tensor([0, 1])
    found = attention(model, images, labels, task="DME")
    assert model.training
    assert found.shape == (2, 1, 64, 64)
    gate = model.eval().attention_maps(images)["DME"].detach()
    torch.testing.assert_close(
        found.unfold(2, 8, 8).unfold(3, 8, 8).mean((4, 5)).mean(), gate.mean(), rtol=0.05, atol=0
    )
    assert found.min() >= gate.min()
    assert found.max() <= gate.max()
    torch.testing.assert_close(found[:, :, 0, 0], gate[:, :, 0, 0])
    assert not torch.equal(found, attention(model, images, labels, task="DR"))


@pytest.mark.parametrize("head", ["linear", "canet"])
def test_a_network_without_attention_for_the_task_says_what_to_train(head):
    model = create_model("test_resnet", TASKS, weights="none", head=head)
    with pytest.raises(AttributionError, match=r"objective\.name=canet"):
        attention(model, torch.randn(1, 3, 64, 64), torch.tensor([0]), task="site")
