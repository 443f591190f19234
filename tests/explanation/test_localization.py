"""Scores of any map against masks: by hand, and that position alone is never taken for knowledge of the image."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from danil.explanation import AttributionError, localization, localization_run, map_scores, write_evidence
from danil.explanation.localization import take_statistics, untrained
from danil.explanation.run_scores import masked_images, seen_mask
from danil.explanation.score_files import evidence_text
from danil.objectives import response_maps
from danil.runs import RunError, open_run, run_manifest
from explanation.conftest import untrained_run

MAPS = torch.tensor([[[3.0, 1.0, 0.0, 0.0]], [[0.0, 0.0, 2.0, 2.0]], [[1.0, 0.0, 0.0, 3.0]]])
EVIDENCE = torch.tensor([[[True, False, False, False]], [[False, False, True, True]], [[False] * 4]])
DISTRACTORS = torch.tensor([[[False, True, True, False]], [[True, False, False, False]], [[False, False, False, True]]])


def test_shares_areas_positions_and_gains_are_as_by_hand():
    scores = map_scores(MAPS, EVIDENCE, DISTRACTORS)
    assert scores["in_evidence"].tolist()[:2] == [3 / 4, 1]
    assert scores["evidence_area"].tolist() == [1 / 4, 1 / 2, 0]
    assert scores["evidence_position"].tolist()[:2] == [(0 + 1 / 4) / 2, (0 + 3 / 4) / 2]
    assert scores["evidence_gain"].tolist()[:2] == [3 / 4 - 1 / 8, 1 - 3 / 8]
    assert scores["in_distractors"].tolist() == [1 / 4, 0, 3 / 4]
    assert scores["distractor_gain"][2] == 3 / 4 - (0 + 1 / 2) / 2
    assert scores["pointing"].tolist()[:2] == [1, 1]
    assert scores.loc[2, ["in_evidence", "evidence_position", "evidence_gain", "pointing"]].isna().all()


def test_maps_that_look_at_the_same_place_in_every_image_gain_nothing():
    middle = torch.zeros(5, 9, 9)
    middle[:, 3:6, 3:6] = 1
    masks = torch.rand(5, 9, 9, generator=torch.Generator().manual_seed(0)) < 0.3
    masks[:, 4, 4] = True
    scores = map_scores(middle, masks, ~masks)
    assert (scores["in_evidence"] > scores["evidence_area"]).any()
    np.testing.assert_allclose(scores["evidence_gain"], 0, atol=1e-12)
    np.testing.assert_allclose(scores["distractor_gain"], 0, atol=1e-12)


def test_a_score_is_missing_without_a_map_or_without_a_mask():
    maps = torch.stack([MAPS[0], torch.zeros(1, 4)])
    scores = map_scores(maps, EVIDENCE[:2], torch.zeros(2, 1, 4, dtype=torch.bool))
    assert scores.loc[1, ["in_evidence", "evidence_gain", "pointing"]].isna().all()
    assert scores["in_distractors"].isna().all()
    assert scores.loc[0, "in_evidence"] == 3 / 4


def test_pointing_widens_the_mask_by_its_tolerance():
    magnitude, mask = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]]), torch.tensor([[[False, True, False, False]]])
    assert [map_scores(magnitude, mask, mask, tolerance=pixels)["pointing"][0] for pixels in (0, 1, 2)] == [0, 0, 1]


@pytest.mark.parametrize("mask", [EVIDENCE[:1], EVIDENCE.float()])
def test_masks_must_be_boolean_and_fit(mask):
    with pytest.raises(ValueError, match=r"`distractors` is .*boolean \(3, 1, 4\) is needed"):
        map_scores(MAPS, EVIDENCE, mask)


def test_masks_follow_the_fundus_preparation_of_each_photograph(tmp_path):
    folder = untrained_run(
        tmp_path / "dil", "synthetic:fundus?images=12&size=96", 48, predictions=False, objective="dil"
    )
    fitted, manifest = open_run(folder.path), run_manifest(folder)
    assert fitted.recipe.data.preprocess == "fundus"
    table, document = localization_run(folder.path, limit=4, seeds=0)
    assert set(table["network"]) == set(document["networks"]) == {"trained"}
    for row in table[table["map"] == "truth"].itertuples():
        masks, image = manifest.store.masks(row.path), manifest.store.read(row.path)
        seen = [float(seen_mask(fitted, mask, image).double().mean()) for mask in masks]
        assert (row.evidence_area, row.distractor_area) == pytest.approx(tuple(seen))


@pytest.fixture(scope="module")
def scored(synthetic_run):
    return localization_run(synthetic_run.path, methods=("grad_cam",), limit=6, seeds=2)


def test_every_network_map_and_image_has_a_row(scored):
    table, document = scored
    counts = table.groupby(["network", "map"]).size()
    assert counts.to_dict() == {
        (network, kind): 6
        for network in ("trained", "random", "random_raw")  # it began from no weights: `start` would be `random_raw`
        for kind in ("truth", "rival", "difference", "grad_cam")
    }
    assert document["images"] == 6
    trained = table[(table["network"] == "trained") & (table["map"] == "truth")]
    shown = document["networks"]["trained"]["truth"]["in_evidence"]
    assert shown["mean"] == pytest.approx(trained["in_evidence"].mean())
    assert shown["low"] <= shown["mean"] <= shown["high"]


def test_the_run_s_own_maps_are_scored(scored, synthetic_run):
    table, _ = scored
    row = table[(table["network"] == "trained") & (table["map"] == "rival")].iloc[2]
    fitted, manifest = open_run(synthetic_run.path), run_manifest(synthetic_run).part("test")
    label = manifest.table.set_index("path").loc[row["path"], manifest.task]
    maps = fitted.response_maps([manifest.store.read(row["path"])], [label])
    magnitude = maps.rival[0].abs().sum(0).numpy()
    mask = manifest.store.masks(row["path"]).distractors
    assert row["in_distractors"] == pytest.approx(magnitude[mask].sum() / magnitude.sum(), rel=1e-4)
    masks = [manifest.store.masks(path) for path in table["path"]]
    np.testing.assert_allclose(table["evidence_area"], [one.evidence.mean() for one in masks])
    np.testing.assert_allclose(table["distractor_area"], [one.distractors.mean() for one in masks])


def test_differences_are_paired_by_image_and_random_networks_are_averaged(scored, synthetic_run):
    table, document = scored
    by_path = table[table["map"] == "truth"].pivot(index="path", columns="network", values="in_evidence")
    expected = (by_path["trained"] - by_path["random_raw"]).mean()
    assert document["differences"]["random_raw"]["truth"]["in_evidence"]["mean"] == pytest.approx(expected)
    fitted, manifest = open_run(synthetic_run.path), run_manifest(synthetic_run).part("test")
    path = by_path.index[0]
    prepared = fitted.prepare([manifest.store.read(path)])
    label = torch.tensor([manifest.labels()[list(manifest.table["path"]).index(path)]])
    mask = torch.from_numpy(manifest.store.masks(path).evidence)
    shares = []
    for seed in (0, 1):
        magnitude = response_maps(untrained(fitted, "none", seed), prepared, label).truth[0].abs().sum(0)
        shares.append(float(magnitude[mask].sum() / magnitude.sum()))
    assert by_path["random_raw"][path] == pytest.approx(np.mean(shares), rel=1e-4)


def test_statistics_are_the_mean_over_the_batches():
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.BatchNorm2d(4)).eval()
    images = [torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)]
    take_statistics(network, images)
    with torch.no_grad():
        expected = torch.stack([network[0](batch).mean((0, 2, 3)) for batch in images]).mean(0)
    torch.testing.assert_close(network[1].running_mean, expected)
    assert network[1].momentum == 0.1
    assert not network.training


def test_files_hold_rows_and_means(synthetic_run, tmp_path):
    document, files = write_evidence(synthetic_run.path, limit=4, out=tmp_path)
    assert [path.name for path in files] == ["evidence.csv", "evidence.json"]
    assert json.loads(files[1].read_text()) == document
    assert set(pd.read_csv(files[0])["map"]) == {"truth", "rival", "difference"}
    text = evidence_text(document)
    assert "trained − random weights, BatchNorm as initialised:" in text
    assert "|A⁺|" in text


def test_what_cannot_be_scored_is_refused_before_anything_is_written(photograph_run, tmp_path):
    with pytest.raises(RunError, match=r"pixel masks exist for `synthetic:…` data"):
        write_evidence(photograph_run.path, out=tmp_path / "none")
    with pytest.raises(AttributionError, match="`methods` holds `lime`"):
        localization_run(photograph_run.path, methods=("lime",))
    assert not (tmp_path / "none").exists()


def test_two_classes_are_refused_because_both_maps_are_one(synthetic_run, monkeypatch):
    fitted, manifest, store = masked_images(synthetic_run.path, None, 2)
    fitted.classes = fitted.classes[:2]
    monkeypatch.setattr(localization, "masked_images", lambda *_: (fitted, manifest, store))
    with pytest.raises(RunError, match="has 2 classes: A⁺ and A⁻ are then one picture"):
        localization_run(synthetic_run.path)
