"""Copies are found, look-alikes are not."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from danil.data import audit_data, read_source
from danil.data.audit_copies import exact_duplicates, near_duplicates
from danil.data.audit_fingerprints import PROBES, SIDE, candidates, coefficients, normalised, window_matrix
from danil.data.audit_images import looks, small
from danil.data.audit_registration import THRESHOLD, aligned, similarities
from danil.data.files import FileImages
from danil.data.manifest import assembled
from data.pictures import TWINS, texture


def manifest_of(folder: Path, images: dict[str, Image.Image], **columns: list[str | None]):
    """Write images as PNG and return their manifest; every label is `a` unless given."""
    for name, image in images.items():
        image.save(folder / name)
    table = pd.DataFrame({"path": list(images)} | {"label": ["a"] * len(images)} | columns)
    classes = sorted(table["label"].dropna().unique())
    return assembled(table, {"label": classes}, store=FileImages(folder), source="test:copies")


@pytest.fixture(scope="module")
def crowd():
    """Small pictures of 40 different textures."""
    return np.stack([small(texture(seed)) for seed in range(40)])


@pytest.mark.parametrize("kind", TWINS)
def test_a_twin_is_similar_to_its_original_alone(crowd, kind):
    pictures = np.concatenate([crowd, [small(TWINS[kind](texture(7)))]])
    pairs = candidates(pictures)
    alike = similarities(pictures, pairs)
    kept = alike >= THRESHOLD
    found = {tuple(sorted(pair)) for pair in zip(pairs.wholes[kept], pairs.crops[kept], strict=True)}
    assert found == {(7, 40)}


def test_two_pictures_alone_are_compared_too(crowd):
    for second, same in ((small(TWINS["halved"](texture(0))), True), (crowd[1], False)):
        pictures = np.stack([crowd[0], second])
        assert (similarities(pictures, candidates(pictures)) >= THRESHOLD).any() == same


def test_each_pair_is_a_candidate_once(crowd):
    pairs = candidates(crowd)
    ordered = {tuple(sorted(pair)) for pair in zip(pairs.wholes, pairs.crops, strict=True)}
    assert len(ordered) == len(pairs)
    assert (pairs.wholes != pairs.crops).all()
    assert len(candidates(crowd[:1])) == 0


def test_many_copies_of_one_picture_form_one_set(tmp_path):
    images = {f"{place}.png": texture(place) for place in range(12)}
    for name, kind in (("bright", "brighter"), ("q60", "re-encoded at quality 60"), ("half", "halved")):
        images[f"{name}.png"] = TWINS[kind](texture(3))
    manifest = manifest_of(tmp_path, images)
    seen = looks(manifest)
    found = near_duplicates(manifest, seen, exact_duplicates(manifest, seen)[1])
    assert [set(one.paths) for one in found.sets] == [{"3.png", "bright.png", "q60.png", "half.png"}]
    assert found.groups == 1
    assert found.files == 4


def test_a_window_samples_a_line_exactly():
    line = np.arange(SIDE, dtype=np.float32)
    # The centre of output pixel i lies at 0.95·(i + 0.5) + 0.025·64 − 0.5 in the input.
    expected = np.clip(0.95 * (line + 0.5) + 0.025 * SIDE - 0.5, 0, SIDE - 1)
    np.testing.assert_allclose(window_matrix(0.95, 0.025) @ line, expected, atol=1e-4)


def test_the_fingerprint_of_a_window_is_that_of_the_cropped_picture():
    smooth = texture(5, 640)
    for probe in PROBES[1:]:
        size, top, left = probe
        box = (left * 640, top * 640, (left + size) * 640, (top + size) * 640)
        crop = np.asarray(smooth.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))
        first, second = coefficients(small(smooth)[None], probe)[0], coefficients(crop[None], PROBES[0])[0]
        assert first @ second / np.linalg.norm(first) / np.linalg.norm(second) > 0.99


def test_alignment_finds_a_known_window():
    whole = small(texture(9, 640)).astype(np.float32)[None]
    place = np.array([[0.93, 0.04, 0.97, 0.01]], np.float32)
    crop = window_matrix(0.93, 0.04) @ whole @ window_matrix(0.97, 0.01).T
    start = np.array([[0.95, 0.025, 0.95, 0.025]], np.float32)
    np.testing.assert_allclose(aligned(normalised(whole, 2), normalised(crop, 2), start, 12), place, atol=0.004)


def test_identical_pixels_count_as_identical_whatever_the_format(tmp_path):
    manifest = manifest_of(
        tmp_path, {"a.png": texture(0), "b.png": texture(0), "c.bmp": texture(0), "d.png": texture(1)}
    )
    found, distinct = exact_duplicates(manifest, looks(manifest))
    assert [one.paths for one in found.sets] == [["a.png", "b.png", "c.bmp"]]
    assert (found.groups, found.files, found.conflicting, found.same_file) == (1, 3, 0, 0)
    assert distinct == [[0, 1, 2], [3]]
    pair = manifest.take([0, 1])
    assert exact_duplicates(pair, looks(pair))[0].same_file == 1


def test_faults_of_a_set_are_told_apart(tmp_path):
    images = {f"{name}.png": texture(place // 2) for place, name in enumerate("abcdefgh")}
    manifest = manifest_of(
        tmp_path,
        images,
        label=["x", "y", "x", "x", "x", None, "y", "y"],
        split=["train", "train", "train", "test", None, "test", "test", "test"],
        group=["1", "1", "2", "2", "3", "3", "4", "5"],
    )
    found, _ = exact_duplicates(manifest, looks(manifest))
    faults = [(one.conflicting, one.across_split, one.across_groups) for one in found.sets]
    assert faults == [(True, False, False), (False, True, False), (False, False, False), (False, False, True)]
    assert (found.conflicting, found.across_split, found.across_groups) == (1, 1, 1)
    assert found.sets[2].labels == {"label": ["x", None]}


def test_following_the_advice_on_identical_images_settles_the_finding(tmp_path):
    for place in range(24):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        texture(place).save(tmp_path / "ab"[place % 2] / f"{place}.png")
    shutil.copy(tmp_path / "a" / "0.png", tmp_path / "a" / "bytes.png")

    def told(options=""):
        found = audit_data(read_source(f"folder:{tmp_path}{options}")).findings
        last = [finding for finding in found if finding.check == "exact_duplicates"][-1]
        return last.severity, last.advice

    severity, advice = told()
    assert severity == "warning"
    assert "`?groups=identical` behind" in advice
    assert told("?groups=identical")[0] == "note"
    texture(1).save(tmp_path / "b" / "pixels.bmp")
    assert "1 of these 2 sets" in told()[1]
    severity, advice = told("?groups=identical")
    assert severity == "warning"
    assert "group column" in advice
    assert "finds none of them" in advice
    assert told("?groups=identical&group=^.")[0] == "note"


def test_a_near_set_holds_the_exact_copies_of_its_members(tmp_path):
    images = {"a.png": texture(0), "b.png": TWINS["halved"](texture(0)), "c.png": texture(0), "d.png": texture(1)}
    manifest = manifest_of(tmp_path, images, split=["train", "train", "test", "test"])
    seen = looks(manifest)
    found = near_duplicates(manifest, seen, exact_duplicates(manifest, seen)[1])
    assert [one.paths for one in found.sets] == [["a.png", "b.png", "c.png"]]
    assert (found.pairs, found.files, found.across_split) == (1, 3, 1)
    assert found.found[0].paths == ["a.png", "b.png"]


def test_uniform_pictures_are_no_copies_of_each_other(tmp_path):
    images = {f"{grey}.png": Image.new("RGB", (40, 40), (grey, grey, grey)) for grey in (10, 90, 200)}
    manifest = manifest_of(tmp_path, images)
    seen = looks(manifest)
    assert near_duplicates(manifest, seen, exact_duplicates(manifest, seen)[1]).groups == 0
