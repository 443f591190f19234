import pytest
import torch

from danil.objectives.targets import matched_tasks

LOGITS = torch.zeros(2, 3)
LABELS = torch.tensor([0, 2])


def test_only_the_tasks_with_targets_are_matched():
    matched = matched_tasks({"a": LOGITS, "b": LOGITS, "aux/a": LOGITS}, {"a": LABELS})
    assert list(matched) == ["a"]


@pytest.mark.parametrize(
    ("logits", "targets", "error", "message"),
    [
        (LOGITS, torch.eye(3)[LABELS], TypeError, "Soft or mixed labels"),
        (LOGITS, LABELS.float(), TypeError, "Soft or mixed labels"),
        (LOGITS, LABELS.int(), TypeError, r"int64 class indices are needed. Use `.long\(\)`"),
        (LOGITS, LABELS[:1], ValueError, r"so \(2,\) is needed"),
        (LOGITS, torch.tensor([0, 3]), ValueError, "holds 3; the network has 3 classes"),
        (LOGITS, torch.tensor([-2, 0]), ValueError, "holds -2"),
        (LOGITS[:, :1], LABELS, ValueError, "K ≥ 2 classes"),
        (LOGITS[0], LABELS, ValueError, r"shape \(3,\)"),
        (LOGITS, {"a": LABELS}, TypeError, r"names the tasks \['a'\], but the network returned a Tensor"),
        ({"a": LOGITS}, LABELS, TypeError, r"returned the heads \['a'\]"),
        ((LOGITS, LOGITS), LABELS, TypeError, "returned a tuple"),
        ({"a": LOGITS}, {"b": LABELS}, ValueError, r"no head for \['b'\]"),
        ({"a": LOGITS}, {}, ValueError, "an empty mapping"),
        ({"a": LOGITS}, {"a": torch.tensor([0, 9])}, ValueError, r"`targets\['a'\]` holds 9"),
    ],
)
def test_labels_that_do_not_fit_are_named(logits, targets, error, message):
    with pytest.raises(error, match=message):
        matched_tasks(logits, targets)
