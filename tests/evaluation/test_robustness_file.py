"""A `robustness.json` of a stranger."""

import json

import pytest

from danil.evaluation import EvaluationError
from danil.evaluation.robustness_file import read_robustness

VALUE = {"value": 0.5, "low": 0.4, "high": None}
ROW = {
    "name": "blur-2", "kind": "blur", "strength": 2, "unit": "px",
    "metrics": {"accuracy": VALUE, "macro_f1": VALUE}, "change": {"accuracy": VALUE, "macro_f1": VALUE},
}  # fmt: skip
WHOLE = {
    "format": 1, "images": 3, "groups": 3, "size": 32, "level": 0.95,
    "settings": {"limit": None, "seed": 0, "attack": {"steps": 10, "step": 0.25}}, "conditions": [ROW],
}  # fmt: skip


def test_a_whole_file_is_read_as_it_is(tmp_path):
    path = tmp_path / "robustness.json"
    assert read_robustness(path) is None
    path.write_text(json.dumps(WHOLE))
    assert read_robustness(path) == WHOLE


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "blur-2\n", "", "x" * 99, 7])
def test_a_condition_whose_name_is_no_files_is_refused(tmp_path, name):
    path = tmp_path / "robustness.json"
    path.write_text(json.dumps({**WHOLE, "conditions": [{**ROW, "name": name}]}))
    with pytest.raises(EvaluationError, match=r"robustness\.json` is damaged: `conditions\.0\.name`"):
        read_robustness(path)


@pytest.mark.parametrize("key", ["images", "size", "settings", "conditions"])
@pytest.mark.parametrize("value", [None, "text", [], {}])
def test_a_key_of_another_kind_is_named(tmp_path, key, value):
    path = tmp_path / "robustness.json"
    path.write_text(json.dumps({**WHOLE, key: value}))
    with pytest.raises(EvaluationError, match=rf"`{key}"):
        read_robustness(path)


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"[]", b"[" * 20_000, b"9" * 5000])
def test_what_is_no_measurement_is_damaged(tmp_path, content):
    path = tmp_path / "robustness.json"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match="is damaged"):
        read_robustness(path)
