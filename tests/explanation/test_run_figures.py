import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from danil.data import ImageError, read_source
from danil.explanation import explain_run, localization_run, look_alikes_run, run_figures
from danil.runs import RunError, open_run
from explanation.conftest import untrained_run


@pytest.fixture
def shown(monkeypatch):
    """What each figure shows, instead of drawing it."""
    calls = []
    original = run_figures.response_figure

    def noted(display, maps, labels, classes, **options):
        calls.append({"display": display, "maps": maps, "label": classes[int(labels[0])], **options})
        return original(display, maps, labels, classes, **options)

    monkeypatch.setattr(run_figures, "response_figure", noted)
    return calls


def test_without_images_the_most_confidently_wrong_test_images_are_drawn(synthetic_run, tmp_path, shown):
    written = explain_run(synthetic_run.path, out=tmp_path, count=3)
    table = pd.read_csv(synthetic_run.predictions)
    probability = table[[f"probability_{name}" for name in open_run(synthetic_run.path).classes]].max(axis=1)
    wrong = table[table["label"] != table["prediction"]]
    expected = list(probability[wrong.index].sort_values(ascending=False).index[:3])
    assert [call["names"][0] for call in shown] == [Path(path).name for path in table["path"][expected]]
    assert [call["label"] for call in shown] == list(table["label"][expected])
    assert all(call["known"] for call in shown)
    assert [path.name[:3] for path in written] == ["01_", "02_", "03_"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_where_fewer_are_wrong_the_least_certain_right_ones_follow(synthetic_run, tmp_path, shown):
    run = tmp_path / "copy"
    shutil.copytree(synthetic_run.path, run)
    table = pd.read_csv(synthetic_run.predictions)
    table.loc[1:, "label"] = table.loc[1:, "prediction"]
    table.loc[0, "label"] = next(name for name in open_run(run).classes if name != table.loc[0, "prediction"])
    table.to_csv(run / "predictions.csv", index=False)
    explain_run(run, count=2)
    assert shown[0]["names"] == [Path(table["path"][0]).name]
    rest = table.loc[1:, [name for name in table if name.startswith("probability_")]].max(axis=1)
    assert shown[1]["names"] == [Path(table["path"][rest.idxmin()]).name]
    assert len(list((run / "figures").glob("*.png"))) == 2


def test_masks_of_synthetic_images_are_outlined_where_wanted(synthetic_run, photograph_run, tmp_path, shown):
    explain_run(synthetic_run.path, out=tmp_path, count=1, masks=True)
    explain_run(synthetic_run.path, out=tmp_path, count=1)
    explain_run(photograph_run.path, out=tmp_path, count=1, masks=True)
    store = read_source("synthetic:dermoscopy?images=24&size=48").store
    drawn = store.masks(f"{store.folder}/{shown[0]['names'][0]}")
    assert np.array_equal(shown[0]["masks"][0].numpy(), np.stack(drawn))
    assert [call["masks"] for call in shown[1:]] == [None, None]


def test_a_run_s_own_image_has_its_label_and_any_other_none(photograph_run, photographs, tmp_path, shown):
    other = tmp_path / "elsewhere.png"
    shutil.copy(photographs / "c" / "c1.png", other)
    explain_run(photograph_run.path, [photographs / "c" / "c1.png", other], out=tmp_path)
    assert [call["known"] for call in shown] == [True, False]
    assert shown[0]["label"] == "c"
    assert shown[1]["label"] == open_run(photograph_run.path).predict([other])["prediction"][0]


def test_an_exif_rotated_image_gives_the_map_of_its_upright_twin(photograph_run, photographs, tmp_path, shown):
    turned = photographs.parent / "turned.png"
    with Image.open(turned) as stored:
        assert stored.size == (50, 70)
    explain_run(photograph_run.path, [turned, photographs / "b" / "b0.png"], out=tmp_path)
    first, second = shown
    assert torch.equal(first["display"], second["display"])
    assert first["label"] != "b" or torch.equal(first["maps"].truth, second["maps"].truth)
    both = [
        open_run(photograph_run.path).response_maps([path], ["b"]) for path in (turned, photographs / "b" / "b0.png")
    ]
    assert torch.equal(both[0].truth, both[1].truth)


def test_further_methods_give_further_maps_of_the_image_s_size(photograph_run, photographs, tmp_path, shown):
    methods = ("integrated_gradients", "grad_cam", "occlusion", "contribution")
    (written,) = explain_run(
        photograph_run.path, [photographs / "a" / "a0.png"], out=tmp_path, methods=methods, kind="svg"
    )
    assert written.name == "01_a0.svg"
    assert list(shown[0]["further"]) == [
        "Integrated gradients, logit",
        "Grad-CAM, logit",
        "Occlusion, logit",
        "A⁺ ⊙ x, loss",
    ]
    assert {tuple(values.shape[2:]) for values in shown[0]["further"].values()} == {(40, 40)}
    fitted = open_run(photograph_run.path)
    expected = shown[0]["maps"].truth * fitted.prepare(photographs / "a" / "a0.png")
    torch.testing.assert_close(shown[0]["further"]["A⁺ ⊙ x, loss"], expected)


def test_style_reaches_the_figure(photograph_run, photographs, tmp_path, shown):
    explain_run(
        photograph_run.path, [photographs / "a" / "a0.png"], out=tmp_path, absolute=True, smooth=1.5, overlay=True
    )
    assert dataclasses.asdict(shown[0]["style"]) == {"signed": False, "smoothing": 1.5, "overlay": True, "clip": 99.8}


def test_a_canet_run_is_explained_by_its_final_logits(photographs, tmp_path, shown):
    folder = untrained_run(tmp_path / "canet", f"folder:{photographs}", 40, predictions=False, objective="canet_single")
    explain_run(folder.path, [photographs / "a" / "a0.png"])
    assert shown[0]["maps"].logits.shape == (1, 3)


def test_a_bad_image_is_one_error_and_nothing_is_written(photograph_run, photographs, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"bad\.png"):
        explain_run(photograph_run.path, [photographs / "a" / "a0.png", bad], out=tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_a_run_without_predictions_asks_for_images(photographs, tmp_path):
    folder = untrained_run(tmp_path / "run", f"folder:{photographs}", 40, predictions=False)
    with pytest.raises(RunError, match="no predictions to choose images from"):
        explain_run(folder.path)


def test_a_run_without_a_test_part_asks_for_images_and_says_why(tmp_path):
    folder = untrained_run(tmp_path / "run", "synthetic:dermoscopy?images=24&size=32", 32, predictions=False)
    folder.manifest.write_text(folder.manifest.read_text().replace(",test", ",train"))
    with pytest.raises(RunError, match=r"has no test part \(`split.test=0`\).*danil explain .* IMAGE") as caught:
        explain_run(folder.path)
    assert "--resume" not in str(caught.value)


@pytest.mark.parametrize("options", [{"kind": "gif"}, {"methods": ["lime"]}])
def test_unknown_kinds_and_methods_are_refused(photograph_run, options):
    with pytest.raises(ValueError, match=rf"`{next(iter(options))}` holds `(gif|lime)`; there are"):
        explain_run(photograph_run.path, **options)


def test_with_several_views_figures_show_the_prediction_of_the_run(photographs, tmp_path, shown):
    folder = untrained_run(tmp_path / "run", f"folder:{photographs}", 40)
    text = folder.recipe.read_text()
    assert "views = 1" in text
    folder.recipe.write_text(text.replace("views = 1", "views = 8"))
    fitted = open_run(folder.path)
    files = sorted(photographs.glob("*/*.png"))
    explain_run(folder.path, files, out=tmp_path / "figures")
    fused = fitted.predict(files).filter(like="probability_").to_numpy()
    plain = fitted.response_maps(files).logits.softmax(1).numpy()
    assert np.abs(fused - plain).max() > 0.001
    for row, one in enumerate(shown):
        label, rival = fitted.classes.index(one["label"]), int(one["maps"].rivals)
        assert one["shares"][0].numpy() == pytest.approx(fused[row])
        assert rival == max((k for k in range(3) if k != label), key=lambda k: fused[row, k])


def test_an_evidence_score_takes_any_number_of_images(tmp_path):
    folder = untrained_run(tmp_path / "run", "synthetic:dermoscopy?images=34&size=32", 32)
    assert localization_run(folder.path, seeds=1)[1]["images"] == 17


def test_predictions_of_other_classes_or_without_labels_are_told(photographs, tmp_path):
    folder = untrained_run(tmp_path / "run", f"folder:{photographs}", 40)
    table = pd.read_csv(folder.predictions)
    table.assign(label="").to_csv(folder.predictions, index=False)
    with pytest.raises(RunError, match="has no test image with a label"):
        explain_run(folder.path)
    table.rename(columns={"probability_a": "probability_z"}).replace("a", "z").to_csv(folder.predictions, index=False)
    with pytest.raises(RunError, match=r"has the classes b, c, z, the run a, b, c|has the classes z, b, c"):
        explain_run(folder.path)


def test_look_alikes_are_drawn_from_the_test_part(photograph_run, tmp_path, monkeypatch):
    seen = []
    original = run_figures.look_alikes_figure
    monkeypatch.setattr(run_figures, "look_alikes_figure", lambda *given: seen.append(given) or original(*given))
    written = look_alikes_run(photograph_run.path, out=tmp_path, count=2)
    assert written == tmp_path / "look-alikes.png"
    display, pairs, labels, classes = seen[0]
    assert len(display) == 2 * len(pairs) == 4
    assert all(labels[2 * place] != labels[2 * place + 1] for place in range(2))
    table = pd.read_csv(photograph_run.manifest)
    test = table[table["split"] == "test"].reset_index(drop=True)
    first = test.iloc[pairs[0].first]
    assert classes[labels[0]] == first["path"].split("/")[0]
    root = photograph_run.record()["root"]
    assert torch.equal(display[0], open_run(photograph_run.path).display(f"{root}/{first['path']}")[0])
    assert np.isfinite(pairs[0].distance)
