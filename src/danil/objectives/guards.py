"""Stop on numbers that are no numbers."""

import torch
from torch import Tensor

from danil.objectives.terms import Terms


class NonFiniteLossError(FloatingPointError):
    """The loss or its gradient is NaN or infinite; the message names the parts. The loop adds step and paths."""


def check_finite(terms: Terms, gradient_norm: Tensor | float | None = None) -> None:
    """Raise when the total loss, or the given norm of its gradient, is NaN or infinite.

    Reads one number from the device (a synchronisation there); a loop on a GPU may call it every n steps, or on the
    terms of the step before. Under fp16 with a gradient scaler an infinite gradient is the scaler's business: it skips
    the step, so give no `gradient_norm` there.

    Raises:
        NonFiniteLossError: naming each part and its value.
    """
    checked = [terms.total.detach().float()]
    if gradient_norm is not None:
        checked.append(torch.as_tensor(gradient_norm, dtype=torch.float32, device=checked[0].device).detach())
    if bool(torch.stack(checked).isfinite().all()):
        return
    numbers = {"total": terms.total, **{f"part {name}": value for name, value in terms.parts.items()}, **terms.stats}
    listed = ", ".join(f"{name} = {value.detach().item():.4g}" for name, value in numbers.items())
    if gradient_norm is not None:
        listed += f", gradient norm = {float(gradient_norm):.4g}"
    raise NonFiniteLossError(
        f"the loss or its gradient is not finite: {listed}. Training stops because every later step would be lost. "
        "Lower the learning rate, clip gradients, or raise `epsilon` where the distractor part is the culprit."
    )
