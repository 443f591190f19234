"""Benchmarks whose measurements a change of the code could leave without meaning."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def changes(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("second_order_changes")


def test_every_change_to_second_derivatives_can_be_left_out_and_counts(changes, monkeypatch):
    monkeypatch.setitem(changes.BACKBONES, "test_resnet", 32)
    record = changes.backbone_record("test_resnet", timed=False)
    assert set(record) == {"base", *changes.variants()}
    complete = record["all changes"]
    for name in ("without bilinear convolutions", "without kinks as constants", "without recalled convolutions"):
        assert record[name]["flops"] > complete["flops"], name


def test_no_form_of_a_convolution_is_asked_for_in_vain(changes):
    with changes.without_forms("is_linear", "is_small_depthwise", "is_pointwise"):
        pass
    with pytest.raises(AttributeError), changes.without_forms("is_gone"):
        pass
