"""`danil explain`: every option reaches the files, and what is wrong is one message."""

import pandas as pd
import pytest
from PIL import Image

from explanation.conftest import untrained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    source = "synthetic:dermoscopy?images=24&size=32"
    return untrained_run(tmp_path_factory.mktemp("explained") / "run", source, 32).path


@pytest.mark.slow
def test_figures_tables_and_look_alikes_go_into_the_run_folder(danil, run):
    more = ("--map", "grad_cam", "--map", "contribution", "--look-alikes", 2, "--faithfulness", "--evidence")
    answer = danil("explain", run, "--count", 1, "--limit", 4, *more)
    assert answer.code == 0, answer.err
    names = {str(path.relative_to(run)) for folder in ("figures", "explanation") for path in (run / folder).iterdir()}
    tables = {f"explanation/{name}" for name in ("evidence.csv", "evidence.json", "faithfulness.csv")}
    assert tables | {"figures/look-alikes.png", "figures/faithfulness.png"} < names
    assert len(names) == 6
    assert all(str(run / name) in answer.out for name in names)
    maps = set(pd.read_csv(run / "explanation" / "faithfulness.csv")["map"])
    assert maps == {"truth", "difference", "grad_cam", "contribution", "random"}
    assert "less the map moved at random" in answer.out
    assert "trained − random weights" in answer.out
    with Image.open(run / "figures" / "faithfulness.png") as picture:
        assert picture.width > picture.height


def test_maps_at_a_layer_and_styles_are_drawn(danil, run, tmp_path):
    options = ("--layer", "backbone.layer3", "--absolute", "--smooth", 1, "--overlay", "--kind", "svg")
    answer = danil("explain", run, "--count", 1, *options, "--out", tmp_path)
    assert answer.code == 0, answer.err
    (written,) = tmp_path.iterdir()
    assert "<svg" in written.read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--map", "lime"), ("`lime`", "grad_cam")),
        (("--kind", "gif"), ("`gif`", "svg")),
        (("--layer", "backbone.layer9"), ("backbone.layer9", "Near it: backbone.layer")),
        (("--layer", "backbone"), ("no places to draw",)),
        (("--layer", "backbone.layer2", "--map", "contribution"), ("`contribution`",)),
    ],
)
def test_what_there_is_not_is_named(danil, run, tmp_path, options, words):
    answer = danil("explain", run, "--count", 1, "--out", tmp_path / "out", *options)
    assert answer.code == 2
    assert all(word in answer.err for word in words), answer.err
    assert not (tmp_path / "out").exists()
