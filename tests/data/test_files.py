"""Finding images below a folder, and reading them no further up."""

import os

import numpy as np
import pytest
from PIL import Image

from danil.data import DataError, FileImages, ImageError, image_files, read_source, unreadable, without
from danil.data.fake import write_fake
from danil.data.listing import found_images


def touch(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(file)
    return file


def test_images_are_found_sorted_whatever_their_letter_case_and_hidden_ones_are_not(tmp_path):
    for name in ("b/2.PNG", "a/1.jpg", "a/._1.jpg", ".git/3.png", "__MACOSX/4.png"):
        touch(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    assert found_images(tmp_path) == ["a/1.jpg", "b/2.PNG"]


def test_files_that_are_left_out_are_counted_by_their_endings(tmp_path, caplog):
    caplog.set_level("INFO")
    for name in ("a/1.jpg", "b/2.png"):
        touch(tmp_path / name)
    read_source(str(tmp_path))
    assert not caplog.messages
    for name in ("a/3.avif", "b/4.AVIF", "b/scan", "labels.csv", "a/.DS_Store"):
        (tmp_path / name).write_bytes(b"x")
    assert len(read_source(str(tmp_path))) == 2
    told = "2 .avif, 1 without an ending, 1 .csv"
    assert caplog.messages == [f"`{tmp_path}`: left out as no image by their endings: {told}."]
    assert len(image_files([tmp_path])) == 2
    assert caplog.messages[1] == caplog.messages[0]


def test_every_ending_of_jpeg_is_read(tmp_path):
    for place, ending in enumerate(("jpg", "jpeg", "jfif", "JPE")):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / "ab"[place % 2] / f"{place}.{ending}", "JPEG")
    manifest = read_source(str(tmp_path))
    assert len(manifest) == 4
    assert not unreadable(manifest)


def test_a_folder_that_links_to_itself_is_walked_once(tmp_path):
    touch(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert found_images(tmp_path) == ["a/1.png"]


def test_a_run_among_the_images_is_no_class_and_one_named_is_walked(tmp_path):
    path = write_fake("folder", tmp_path)
    before = read_source(str(path)).digest()
    touch(path / "runs" / "one" / "figures" / "1.png")
    for name in ("recipe.toml", "data.json"):
        (path / "runs" / "one" / name).write_text("")
    with pytest.warns(UserWarning, match=r"1 folder \(`runs`\) without images"):
        assert read_source(str(path)).digest() == before
    (path / "runs" / "one").rename(path / "one")
    (path / "runs").rmdir()
    assert read_source(str(path)).digest() == before
    assert found_images(path / "one") == ["figures/1.png"]


@pytest.mark.parametrize(
    "read", [read_source, lambda path: read_source(f"folder:{path}"), lambda path: image_files([path])]
)
def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch, read):
    path = write_fake("folder", tmp_path)
    (path / "a closed one").mkdir()

    def listed(place, scandir=os.scandir):
        if str(place).endswith("a closed one"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", listed)
    with pytest.raises(DataError, match=r"a closed one` cannot be listed: Permission denied\. .*chmod"):
        read(str(path))


@pytest.mark.parametrize("path", ["../secret.png", "a/../../secret.png", "/etc/passwd", "a\0.png"])
def test_a_path_that_leaves_the_root_is_refused(tmp_path, path):
    touch(tmp_path / "secret.png")
    store = FileImages(tmp_path / "root")
    with pytest.raises(ImageError, match="outside"):
        store.read(path)


def test_the_size_is_the_files_and_minus_one_where_missing(tmp_path):
    (tmp_path / "x.png").write_bytes(b"12345")
    assert FileImages(tmp_path).size("x.png") == 5
    assert FileImages(tmp_path).size("gone.png") == -1


def test_image_files_keep_the_order_given(tmp_path):
    late, early = touch(tmp_path / "z.png"), touch(tmp_path / "folder" / "a.png")
    odd = tmp_path / "no_ending"
    odd.write_bytes(b"")
    assert image_files([late, tmp_path / "folder", odd]) == [late, early, odd]


def test_image_files_name_what_is_missing_and_refuse_nothing(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        image_files([tmp_path / "nowhere"])
    with pytest.raises(DataError, match=r"no image found.*\.png.*\.dcm"):
        image_files([tmp_path])


def test_a_link_that_leads_out_of_a_folder_to_predict_comes_with_advice_that_predict_can_take(tmp_path):
    touch(tmp_path / "elsewhere.png")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(DataError, match=r"`link\.png`.*as a path of its own") as caught:
        image_files([tmp_path / "new"])
    assert "links=follow" not in str(caught.value)


@pytest.mark.parametrize("given", [b"bad\xff.png", b"bad\xff/a.png"])
def test_a_name_that_is_no_text_is_refused_also_where_it_is_given(tmp_path, given):
    file = tmp_path / os.fsdecode(given)
    touch(file)
    for path in {file, tmp_path / os.fsdecode(given.split(b"/")[0])}:
        with pytest.raises(DataError, match=r"1 path .*not UTF-8 text.*Rename"):
            image_files([path])


def test_all_unreadable_images_are_reported_at_once_in_order(tmp_path):
    manifest = read_source(str(write_fake("folder", tmp_path)))
    for name in ("benign/image_4.png", "malignant/image_3.png"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "benign" / "image_10.png").unlink()
    seen = []
    errors = unreadable(manifest, lambda done, total: seen.append((done, total)))
    assert [error.path for error in errors] == ["benign/image_10.png", "benign/image_4.png", "malignant/image_3.png"]
    assert seen == [(done, 24) for done in range(1, 25)]
    left = without(manifest, [error.path for error in errors])
    assert len(left) == 21
    assert not unreadable(left)


def test_leaving_out_an_unknown_image_or_all_is_refused(tmp_path):
    manifest = read_source(str(write_fake("folder", tmp_path)))
    with pytest.raises(DataError, match=r"strange\.png"):
        without(manifest, ["strange.png"])
    with pytest.raises(DataError, match="no image is left"):
        without(manifest, manifest.table["path"])


def test_the_digest_sees_contents_labels_and_parts_but_not_row_order(tmp_path):
    manifest = read_source(str(write_fake("folder", tmp_path)))
    before = manifest.digest()
    assert manifest.take(np.random.default_rng(0).permutation(24)).digest() == before
    file = tmp_path / manifest.table["path"][0]
    file.write_bytes(file.read_bytes() + b"!")
    assert manifest.digest() != before
    assert file.stat().st_size == manifest.store.size(manifest.table["path"][0])
