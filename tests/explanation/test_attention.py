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
    assert gate.shape == (2, 1, 2, 2)
    torch.testing.assert_close(found[:, :, ::63, ::63], gate, msg="the corners are the gate's four places")
    assert not torch.equal(found, attention(model, images, labels, task="DR"))


@pytest.mark.parametrize("head", ["linear", "canet"])
def test_a_network_without_attention_for_the_task_says_what_to_train(head):
    model = create_model("test_resnet", TASKS, weights="none", head=head)
    with pytest.raises(AttributionError, match=r"objective\.name=canet"):
        attention(model, torch.randn(1, 3, 64, 64), torch.tensor([0]), task="site")
