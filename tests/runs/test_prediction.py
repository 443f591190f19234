"""What the prediction loop makes of its images."""

import pytest
import torch

from danil.runs.prediction import symmetries


def test_one_view_is_the_batch_itself():
    images = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    (only,) = symmetries(images, 1)
    assert only is images


@pytest.mark.parametrize("views", [2, 4, 8])
def test_only_the_views_asked_for_are_made_and_all_differ(monkeypatch, views):
    made, rot90 = [], torch.rot90
    monkeypatch.setattr(torch, "rot90", lambda *arguments: made.append(arguments) or rot90(*arguments))
    images = torch.randn(2, 3, 4, 4)
    found = symmetries(images, views)
    assert torch.equal(found[0], images)
    assert len(made) == views == len({tuple(view.flatten().tolist()) for view in found})
