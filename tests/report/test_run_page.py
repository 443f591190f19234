import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from danil.evaluation import evaluate_run
from danil.evaluation.document import FORMAT
from danil.report import write_run_report
from danil.report.card import protocol
from danil.report.gallery import gallery_rows
from danil.report.record import read_record
from danil.report.sections import subgroup_section
from danil.runs import RunError, read_recipe, write_checkpoint
from danil.statistics.predictions import Predictions

SECTIONS = ("summary", "data", "training", "metrics", "classes", "curves", "calibration", "gallery", "protocol")


class Outline(HTMLParser):
    """Collect what accessibility rests on."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


@pytest.fixture(scope="module")
def report(make_run):
    folder = make_run()
    evaluate_run(folder.path, resamples=50)
    return write_run_report(folder.path)


def test_the_report_has_every_section_and_the_menu_leads_to_each(report):
    outline = Outline(report.read_text())
    ids = {attributes.get("id") for _, attributes in outline.tags}
    assert {*SECTIONS, "provenance", "card"} <= ids
    links = [link["href"][1:] for link in outline.all("a") if link["href"].startswith("#")]
    assert set(links) <= ids


def test_every_picture_has_an_alternative_text(report):
    outline = Outline(report.read_text())
    assert len(outline.all("img")) >= 16
    assert all(image.get("alt") for image in outline.all("img"))
    charts = [svg for svg in outline.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(charts) >= 6
    assert all(svg.get("role") == "img" and svg.get("aria-label") for svg in charts)


def test_headings_descend_one_level_at_a_time_below_one_h1(report):
    levels = [int(tag[1]) for tag, _ in Outline(report.read_text()).tags if re.fullmatch("h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_header_cell_says_what_it_heads(report):
    headers = Outline(report.read_text()).all("th")
    assert headers
    assert all(cell.get("scope") in {"row", "col"} for cell in headers)


def test_nothing_is_loaded_from_outside(report):
    for _, attributes in Outline(report.read_text()).tags:
        for key in ("src", "href", "srcset", "data", "action"):
            assert (attributes.get(key) or "#").startswith(("#", "data:")), attributes
    assert "@import" not in report.read_text()


def test_the_metrics_shown_are_those_of_the_file(report):
    text = report.read_text()
    accuracy = json.loads((report.parent / "metrics.json").read_text())["metrics"]["accuracy"]
    assert f"<strong>{accuracy['value']:.3f}</strong>" in text
    assert f"[{accuracy['low']:.3f},\N{NO-BREAK SPACE}{accuracy['high']:.3f}]" in text
    assert f"{100 * accuracy['value']:.1f} % were given the right class" in text


def test_the_same_run_gives_the_same_bytes(report):
    before = report.read_bytes()
    assert write_run_report(report.parent).read_bytes() == before


def test_the_page_is_small_and_says_that_it_is_no_medical_device(report):
    assert report.stat().st_size < 5_000_000
    assert "not a medical device" in report.read_text()


def test_a_class_named_like_a_script_is_shown_and_never_run(make_run):
    folder = make_run(weights=False)
    evil = '<script>alert("x")</script>'
    for file in (folder.manifest, folder.predictions):
        table = pd.read_csv(file, dtype=str, keep_default_na=False).replace("nevus", evil)
        table.rename(columns={"probability_nevus": f"probability_{evil}"}).to_csv(file, index=False)
    record = json.loads(folder.data.read_text())
    record["tasks"] = {"diagnosis": [evil, *record["tasks"]["diagnosis"][1:]]}
    folder.data.write_text(json.dumps(record))
    evaluate_run(folder.path, resamples=20)
    text = write_run_report(folder.path).read_text()
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(") > 10


def test_a_run_without_predictions_metrics_and_log_is_reported_with_what_is_missing(make_run):
    folder = make_run(weights=False)
    folder.predictions.unlink()
    folder.log.unlink()
    text = write_run_report(folder.path).read_text()
    for name in ("log.csv", "predictions.csv", "metrics.json"):
        assert f"<li>{name}: " in text
    assert "It has not been evaluated" in text
    assert 'id="metrics"' not in text
    assert 'id="curves"' not in text


def test_a_run_whose_weights_are_gone_says_why_there_are_no_maps(make_run):
    text = write_run_report(make_run(weights=False).path).read_text()
    assert "No response maps: " in text
    assert "has no weights yet" in text


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="not a run folder"):
        write_run_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize("content", ["{", "[]"])
def test_damaged_metrics_are_named(make_run, content):
    folder = make_run(weights=False)
    folder.metrics.write_text(content)
    with pytest.raises(RunError, match=r"metrics\.json.*damaged"):
        write_run_report(folder.path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("environment.json", '{"command": 5}'),
        ("environment.json", '{"versions": []}'),
        ("environment.json", '{"devices": 3}'),
        ("log.csv", "epoch,loss\nfirst,1\n"),
        ("metrics.json", f'{{"format": {FORMAT}}}'),
    ],
)
def test_a_file_of_another_shape_is_named(make_run, name, content):
    folder = make_run(weights=False)
    (folder.path / name).write_text(content)
    with pytest.raises(RunError, match=rf"{re.escape(name)}` is damaged"):
        write_run_report(folder.path)


@pytest.mark.parametrize(
    ("setting", "words"),
    [("objective.detach=true", "trains as without the term"), ("objective.rival=runner_up", "rival runner_up")],
)
def test_the_protocol_says_what_is_unusual_of_the_objective(setting, words):
    told = " ".join(protocol(read_recipe("paper", [setting])))
    assert words in told
    assert words not in " ".join(protocol(read_recipe("paper", [])))


def test_predictions_of_other_classes_are_refused(make_run):
    folder = make_run(weights=False)
    folder.predictions.write_text(folder.predictions.read_text().replace("nevus", "mole"))
    with pytest.raises(RunError, match="has the classes mole"):
        write_run_report(folder.path)


def test_groups_on_both_sides_are_counted_and_warned_of(make_run):
    folder = make_run(weights=False)
    table = read_record(folder.path).manifest
    assert "belong to a group" not in write_run_report(folder.path).read_text()
    tested = table.index[table["split"] == "test"][:2]
    trained = table.index[table["split"] == "train"][0]
    table.loc[tested, "group"] = table.loc[trained, "group"]
    table.to_csv(folder.manifest, index=False)
    expected = f"2 of {(table['split'] == 'test').sum()} test images belong to a group"
    assert expected in write_run_report(folder.path).read_text()


def test_a_training_that_was_stopped_is_the_first_caution(make_run, caplog):
    folder = make_run(weights=False)
    write_checkpoint(folder.checkpoint("last"), {"position": {"epoch": 3, "steps": 30, "finished": False}})
    text = write_run_report(folder.path).read_text()
    assert "is not finished: it stopped after epoch 3 of" in text
    assert "is not finished: it stopped after epoch 3 of" in caplog.text


def test_the_gallery_begins_with_the_most_confidently_wrong():
    shares = [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7], [0.99, 0.01]]
    predictions = Predictions.of([1, 1, 1, 1, -1], shares)
    assert gallery_rows(predictions, 2) == [0, 2]
    assert gallery_rows(predictions, 4) == [0, 2, 3, 1]


def test_metrics_of_another_version_are_refused_with_the_command_that_writes_them_again(make_run):
    folder = make_run(weights=False)
    folder.metrics.write_text('{"format": 1}')
    with pytest.raises(RunError, match=r"metrics\.json` has format 1, this version reads 2\. .*danil evaluate"):
        write_run_report(folder.path)


def test_thresholds_and_temperature_of_the_validation_part_are_on_the_page(make_run):
    folder = make_run(weights=False)
    held_out = pd.read_csv(folder.manifest, dtype=str).query("split == 'validation'")
    table = pd.read_csv(folder.predictions).iloc[: len(held_out)]
    for name in ("path", "group"):
        table[name] = held_out[name].to_numpy()
    table.to_csv(folder.path / "validation_predictions.csv", index=False)
    text = write_run_report(folder.path).read_text()
    assert "danil evaluate" in text
    document = evaluate_run(folder.path, resamples=20)
    text = write_run_report(folder.path).read_text()
    fitted = document["calibration"]["temperature"]
    assert (
        f"A temperature of {fitted['value']:.2f}, fitted on the {len(held_out)} images of the validation part" in text
    )
    assert "Thresholds were chosen on the validation part" in text
    assert "with temperature: " in text
    assert "No thresholds were chosen" not in text


def test_without_a_validation_part_the_page_says_that_nothing_was_chosen(report):
    text = report.read_text()
    assert "No temperature was fitted and no confidence was chosen: there are no predictions on a validation" in text
    assert "No thresholds were chosen: " in text


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(None, False), (None, False)], "None could be tested."),
        ([(0.3, False), (None, False)], "Flagged: none of the 1 tested; 1 not tested."),
        ([(0.01, True), (0.6, False)], "Flagged: sex f; 0 not tested."),
    ],
)
def test_subgroups_that_were_not_tested_are_not_said_to_be_alike(rows, words):
    metric = {"value": 0.5, "low": None, "high": None}
    row = {"column": "sex", "images": 6, "groups": 6, "metrics": {"accuracy": metric, "macro_f1": metric}}
    found = [
        {**row, "value": name, "gap": -0.4, "gap_alike": -0.4, "p_holm": p, "flagged": flagged}
        for name, (p, flagged) in zip("fm", rows, strict=True)
    ]
    assert words in subgroup_section({"subgroups": found}).texts[0]
