"""No verb destroys its input, or a file that it did not write; repeating a command needs no flag."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import danil.report.page
from cli.tiny import TINY
from danil.data import read_source
from danil.data.outputs import MARKS, Output, OutputError, check_outputs, written
from danil.explanation.figures import figure_bytes


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Twelve pictures, class per folder, and a table of them called `split.csv`."""
    draw = np.random.default_rng(0)
    rows = ["path,label"]
    for place in range(12):
        (tmp_path / "images" / "ab"[place % 2]).mkdir(parents=True, exist_ok=True)
        path = f"images/{'ab'[place % 2]}/{place}.png"
        Image.fromarray(draw.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / path)
        rows.append(f"{path},{'ab'[place % 2]}")
    (tmp_path / "split.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "precious.txt").write_text("years of work\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "victim", "told"),
    [
        (["split", "split.csv"], "split.csv", "is an input"),
        (["split", "split.csv", "--overwrite"], "split.csv", "is an input"),
        (["split", "split.csv", "--out", "./images/../split.csv", "--overwrite"], "split.csv", "is an input"),
        (["audit", "split.csv", "--json", "split.csv"], "split.csv", "is an input"),
        (["audit", "images", "--out", "precious.txt"], "precious.txt", "--overwrite"),
        (["audit", "images", "--json", "precious.txt"], "precious.txt", "--overwrite"),
        (["split", "images", "--out", "precious.txt"], "precious.txt", "--overwrite"),
        (["split", "images", "--out", "images/a/0.png", "--overwrite"], "images/a/0.png", "name of an image"),
        (["split", "split.csv", "--out", "images/a/0.png", "--overwrite"], "images/a/0.png", "name of an image"),
        (["compare", "split.csv", "precious.txt", "--json", "split.csv"], "split.csv", "is an input"),
        (["compare", "a", "b", "--out", "precious.txt"], "precious.txt", "--overwrite"),
    ],
)
def test_what_is_there_stays_and_the_option_is_named(danil, data, words, victim, told):
    before = (data / victim).read_bytes()
    answer = danil(*words)
    assert answer.code == 2, answer
    assert f"`{'--json' if '--json' in words else '--out'}` is " in answer.err
    assert told in answer.err
    assert (data / victim).read_bytes() == before


def test_a_split_in_folds_writes_nothing_where_one_file_is_in_the_way(danil, data):
    (data / "x-fold2.csv").write_text("mine\n")
    answer = danil("split", "images", "--folds", 3, "--out", "x.csv")
    assert answer.code == 2
    assert "x-fold2.csv" in answer.err
    assert not (data / "x-fold1.csv").exists()


def test_overwrite_replaces_a_file_that_is_no_input(danil, data):
    assert danil("split", "images", "--out", "precious.txt", "--overwrite").code == 0
    assert (data / "precious.txt").read_text().startswith("# danil split")


@pytest.mark.parametrize(
    "words",
    [
        ["split", "images", "--out", "s.csv"],
        ["split", "images", "--out", "images/s.csv"],
        ["audit", "images", "--json", "a.json", "--out", "a.html"],
    ],
)
def test_a_command_can_be_repeated_over_its_own_files(danil, data, words):
    first, second = danil(*words), danil(*words)
    assert first.code == second.code != 2, second


def test_the_files_of_one_verb_are_not_replaced_by_another(danil, data):
    danil("audit", "images", "--out", "a.html", "--json", "a.json")
    assert danil("split", "images", "--out", "a.json").code == 2
    assert danil("audit", "images", "--json", "a.html").code == 2
    assert danil("compare", "a", "b", "--out", "a.html").code == 2


def test_two_outputs_are_two_files(danil, data):
    answer = danil("audit", "images", "--json", "x", "--out", "./x")
    assert answer.code == 2
    assert "`--json` and `--out`" in answer.err
    assert not (data / "x").exists()


def test_predictions_replace_predictions_but_no_image_and_no_file_of_the_run(danil, data):
    assert danil("train", "images", *TINY, "--out", "run").code == 0
    image, table = data / "images" / "a" / "0.png", data / "run" / "manifest.csv"
    before = image.read_bytes(), table.read_bytes()
    for out in (image, table, data / "precious.txt"):
        assert danil("predict", "run", "images", "--out", out).code == 2
    for out in (image, table):
        assert danil("predict", "run", "images", "--out", out, "--overwrite").code == 2
        assert danil("predict", "run", image, "--out", image, "--overwrite").code == 2
    assert (image.read_bytes(), table.read_bytes()) == before
    for _ in range(2):
        assert danil("predict", "run", "images", "--out", "p.csv").code == 0
    assert danil("evaluate", "run/predictions.csv", "--out", "run").code == 2
    (data / "results").mkdir()
    (data / "results" / "metrics.json").write_text('{"mine": 1}\n')
    answer = danil("evaluate", "run/predictions.csv", "--out", "results")
    assert answer.code == 2
    assert "--overwrite" not in answer.err
    for _ in range(2):
        assert danil("evaluate", "run/predictions.csv", "--out", "fresh").code == 0


def test_a_missing_image_keeps_its_name(tmp_path):
    (tmp_path / "t.csv").write_text("path,label\ni/0.png,a\ni/1.png,b\n")
    (tmp_path / "i").mkdir()
    manifest = read_source(f"csv:{tmp_path / 't.csv'}?missing=keep")
    with pytest.raises(OutputError, match="name of an image"):
        check_outputs([Output("--out", tmp_path / "i" / "0.png", "split")], manifest=manifest, overwrite=True)
    check_outputs([Output("--out", tmp_path / "i" / "2.png", "split")], manifest=manifest)


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_is_known_by_its_mark(tmp_path, kind):
    figure = Figure()
    figure.add_subplot().imshow(np.random.default_rng(0).random((200, 200)))
    (tmp_path / "f").write_bytes(figure_bytes(figure, kind))
    assert written(tmp_path / "f", "figure")
    figure.savefig(tmp_path / "f", format=kind)  # a figure of the user's own
    assert not written(tmp_path / "f", "figure")
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    (tmp_path / "f").write_bytes(stream.getvalue())
    assert not written(tmp_path / "f", "figure")


@pytest.mark.parametrize("kind", MARKS)
def test_an_empty_file_may_be_written_and_another_table_may_not(tmp_path, kind):
    (tmp_path / "new").touch()
    assert written(tmp_path / "new", kind)
    (tmp_path / "new").write_text("path,label\n1.png,a\n")
    assert not written(tmp_path / "new", kind)


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("audit", "audit page"),
        ("comparison", "comparison page"),
        ("tables", "tables page"),
        ("demo", "demonstration page"),
    ],
)
def test_a_page_is_known_by_its_template_and_by_no_other(template, kind):
    folder = Path(danil.report.page.__file__).parent
    head = re.search(r"<meta name=\"generator\".*", (folder / "base.html.j2").read_text())[0]
    made = re.search(r"block kind %}(.*?){%", (folder / f"{template}.html.j2").read_text())[1]
    page = f'<!doctype html>\n{head}\n<p class="kind">{made}</p>'
    assert [name for name, mark in MARKS.items() if "page" in name and re.match(mark, page, re.DOTALL)] == [kind]


def test_a_folder_in_the_way_of_a_fold_is_named(danil, data):
    (data / "x-fold1.csv").mkdir()
    answer = danil("split", "images", "--folds", 2, "--out", "x.csv", "--overwrite")
    assert answer.code == 2
    assert "is a folder" in answer.err
