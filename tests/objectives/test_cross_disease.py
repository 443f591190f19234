import math

import pytest
import torch
from torch import nn

from danil.objectives import CrossDisease, CrossEntropy

GRADES = {"dr": torch.tensor([0, 2]), "dme": torch.tensor([1, -1])}


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    widths = {"dr": 4, "dme": 3, "aux/dr": 4, "aux/dme": 3}
    return {task: torch.randn(2, k, generator=generator, dtype=torch.float64) for task, k in widths.items()}


def cross_entropy(row, label):
    return math.log(sum(math.exp(value) for value in row.tolist())) - float(row[label])


class Fixed(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = nn.ParameterDict({name.replace("/", "_"): nn.Parameter(value) for name, value in logits.items()})

    def forward(self, images):
        return {name.replace("aux_", "aux/"): value for name, value in self.logits.items()}


def test_the_loss_is_final_plus_a_quarter_of_auxiliary_over_known_labels(logits):
    terms = CrossDisease()(Fixed(logits), torch.zeros(2, 3, 2, 2), GRADES)
    dr = [cross_entropy(logits[name][i], y) for name in ("dr", "aux/dr") for i, y in ((0, 0), (1, 2))]
    dme = [cross_entropy(logits[name][0], 1) for name in ("dme", "aux/dme")]
    expected = (dr[0] + dr[1]) / 2 + dme[0] + 0.25 * ((dr[2] + dr[3]) / 2 + dme[1])
    assert float(terms.total.detach()) == pytest.approx(expected, rel=1e-12)
    assert float(sum(terms.parts.values()).detach()) == pytest.approx(expected, rel=1e-12)


def test_an_auxiliary_loss_is_weighted_by_its_task_s_class_weights(logits):
    targets = {"dr": GRADES["dr"]}
    weights = torch.tensor([1.0, 1.0, 3.0, 1.0], dtype=torch.float64)
    loss = CrossDisease(0.5, base=CrossEntropy(class_weights={"dr": weights}))
    rows = [[cross_entropy(logits[name][0], 0), cross_entropy(logits[name][1], 2)] for name in ("dr", "aux/dr")]
    expected = [(1 * first + 3 * second) / 4 for first, second in rows]
    found = loss.reduce(loss.per_image(logits, targets))
    assert float(found) == pytest.approx(expected[0] + 0.5 * expected[1], rel=1e-12)


def test_both_heads_of_a_task_get_gradients(logits):
    model = Fixed(logits)
    CrossDisease()(model, torch.zeros(2, 3, 2, 2), GRADES).total.backward()
    assert all(weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_a_network_without_auxiliary_heads_is_refused(logits):
    del logits["aux/dme"]
    with pytest.raises(ValueError, match=r"needs auxiliary logits .*Use a CANet head"):
        CrossDisease().per_image(logits, GRADES)


@pytest.mark.parametrize("weight", [-1.0, math.inf, math.nan])
def test_a_weight_that_is_no_weight_is_refused(weight):
    with pytest.raises(ValueError, match="`auxiliary_weight` is"):
        CrossDisease(weight)
