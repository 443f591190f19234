import math

import pytest
import torch

from danil.objectives import NonFiniteLossError, Terms, check_finite


def terms(classification: float, distractor: float) -> Terms:
    parts = {"cross_entropy": torch.tensor(classification, requires_grad=True), "distractor": torch.tensor(distractor)}
    return Terms(sum(parts.values()), torch.zeros(1, 2), parts, {"share_wrong": torch.tensor(0.25)})


def test_finite_terms_pass():
    check_finite(terms(1.0, 2.0), gradient_norm=torch.tensor(3.0))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_with_its_parts(value):
    with pytest.raises(NonFiniteLossError, match=f"cross_entropy = 1, part distractor = {value}, share_wrong = 0.25"):
        check_finite(terms(1.0, value))
    assert issubclass(NonFiniteLossError, FloatingPointError)


def test_a_gradient_that_is_no_number_stops_although_the_loss_is_one():
    with pytest.raises(NonFiniteLossError, match="gradient norm = nan"):
        check_finite(terms(1.0, 2.0), gradient_norm=math.nan)
