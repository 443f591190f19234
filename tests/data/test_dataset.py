"""Images as tensors: decoded once, the same with or without cache and workers, resumable at any batch."""

import numpy as np
import pytest
import torch
from PIL import Image

from danil.data import Augmentation, Images, UnreadableImages, loader, read_image, read_source, resized
from danil.data.dataset import fits_memory, free_memory, prepared
from danil.data.fake import write_fake
from danil.data.files import FileImages


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return read_source(str(write_fake("ham10000", tmp_path_factory.mktemp("ham"))))


@pytest.fixture(scope="module")
def two_tasks(tmp_path_factory):
    return read_source(str(write_fake("idrid", tmp_path_factory.mktemp("idrid"))))


def test_an_item_is_the_resized_file_its_targets_and_its_row(manifest, two_tasks):
    images = Images(manifest, 16)
    item = images[5]
    file = manifest.root / manifest.table["path"][5]
    assert torch.equal(item["image"], resized(read_image(file), 16))
    assert item["targets"] == {"dx": manifest.labels()[5]}
    assert item["index"] == 5
    assert torch.equal(images[-1]["image"], images[23]["image"])
    with pytest.raises(IndexError):
        images[24]
    assert Images(two_tasks, 16)[2]["targets"] == {"DR": two_tasks.labels("DR")[2], "DME": two_tasks.labels("DME")[2]}


@pytest.mark.parametrize("augmentation", [None, Augmentation()])
def test_cache_and_no_cache_give_the_same_pixels(manifest, augmentation):
    kept = Images(manifest, 16, augmentation=augmentation)
    fresh = Images(manifest, 16, augmentation=augmentation, cache="none")
    assert fresh.pixels is None
    for one, other in zip(loader(kept, batch_size=7), loader(fresh, batch_size=7), strict=True):
        assert torch.equal(one.images, other.images)
        assert one.images.shape[1:] == (3, 16, 16)
        assert one.images.dtype == torch.uint8


def test_batches_follow_the_order_with_targets_and_rows(manifest, two_tasks):
    order = np.random.default_rng(0).permutation(24)
    batches = list(loader(Images(manifest, 16), order, batch_size=10))
    assert [len(batch.images) for batch in batches] == [10, 10, 4]
    assert torch.cat([batch.indices for batch in batches]).tolist() == order.tolist()
    assert torch.cat([batch.targets for batch in batches]).tolist() == manifest.labels()[order].tolist()
    targets = next(loader(Images(two_tasks, 16), torch.from_numpy(order), batch_size=10)).targets
    assert {task: labels.tolist() for task, labels in targets.items()} == {
        task: two_tasks.labels(task)[order[:10]].tolist() for task in ("DR", "DME")
    }


def test_a_run_resumed_at_a_batch_sees_what_it_would_have_seen(manifest):
    images = Images(manifest, 16, augmentation=Augmentation(), seed=3)
    images.epoch = 2
    order = np.random.default_rng(0).integers(0, 24, 40)
    whole = list(loader(images, order, batch_size=6))
    again = Images(manifest, 16, augmentation=Augmentation(), seed=3)
    again.epoch = 2
    for one, other in zip(whole[4:], loader(again, order, batch_size=6, start=4), strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.indices, other.indices)


def test_an_image_varies_with_epoch_seed_and_repetition_but_not_with_place_or_batch_size(manifest):
    images = Images(manifest, 16, augmentation=Augmentation())
    first = next(loader(images, np.array([7, 7, 3]), batch_size=3)).images
    assert not torch.equal(first[0], first[1])
    moved = torch.cat([batch.images for batch in loader(images, np.array([3, 7, 7]), batch_size=2)])
    assert torch.equal(moved[[1, 2, 0]], first)
    images.epoch = 1
    assert not torch.equal(next(loader(images, np.array([7]), batch_size=1)).images[0], first[0])
    other = Images(manifest, 16, augmentation=Augmentation(), seed=1)
    assert not torch.equal(next(loader(other, np.array([7]), batch_size=1)).images[0], first[0])


def test_preparing_batches_leaves_the_random_state_alone(manifest):
    images = Images(manifest, 16, augmentation=Augmentation())
    before = torch.get_rng_state()
    list(loader(images, batch_size=8))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_worker_processes_change_nothing(manifest, cache):
    images = Images(manifest, 16, cache=cache, augmentation=Augmentation())
    before = torch.get_rng_state()
    here = list(loader(images, batch_size=7))
    for workers in (1, 2):
        there = list(loader(images, batch_size=7, workers=workers, start=1))
        assert all(torch.equal(a.images, b.images) for a, b in zip(here[1:], there, strict=True))
        assert all(torch.equal(a.targets, b.targets) for a, b in zip(here[1:], there, strict=True))
    assert torch.equal(torch.get_rng_state(), before)


def test_an_empty_part_has_no_batches(manifest):
    images = Images(manifest.part("validation"), 16)
    assert len(images) == 0
    assert list(loader(images, batch_size=4)) == []


def test_progress_is_told(manifest):
    seen = []
    Images(manifest, 16, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 24) for done in range(1, 25)]


def test_the_cache_is_larger_than_the_view_only_where_training_crops(manifest):
    assert Images(manifest, 16).pixels.shape == (24, 3, 16, 16)
    assert Images(manifest, 56, augmentation=Augmentation()).pixels.shape == (24, 3, 64, 64)
    assert Images(manifest, 56, augmentation=Augmentation(crop=0.0)).pixels.shape == (24, 3, 56, 56)


def test_all_unreadable_images_are_named_at_once(tmp_path):
    manifest = read_source(str(write_fake("folder", tmp_path)))
    for name in ("benign/image_4.png", "malignant/image_3.png"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnreadableImages, match="2 images") as caught:
        Images(manifest, 16)
    assert [error.path for error in caught.value.errors] == ["benign/image_4.png", "malignant/image_3.png"]
    lazy = Images(manifest, 16, cache="none")
    with pytest.raises(UnreadableImages, match=r"image_4\.png"):
        list(loader(lazy, batch_size=24))


def test_a_cache_that_does_not_fit_is_left_out_with_a_warning(manifest, monkeypatch):
    monkeypatch.setattr("danil.data.dataset.free_memory", lambda: 1000)
    with pytest.warns(UserWarning, match=r"data\.workers"):
        images = Images(manifest, 16)
    assert images.pixels is None
    assert fits_memory(700)
    with pytest.warns(UserWarning, match="GiB free"):
        assert not fits_memory(701)


def test_free_memory_is_the_least_of_system_and_control_group(tmp_path):
    assert free_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    5 kB\n")
    assert free_memory(tmp_path) == 5 * 1024
    group = tmp_path / "sys" / "fs" / "cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("10\n")
    assert free_memory(tmp_path) == 5 * 1024
    (group / "memory.max").write_text("3000\n")
    assert free_memory(tmp_path) == 2990
    (group / "memory.current").write_text("2900\n")
    (group / "memory.stat").write_text("anon 400\ninactive_file 2500\nactive_file 0\n")
    assert free_memory(tmp_path) == 2600  # pages of files that were read make room


def test_a_large_jpeg_decoded_smaller_looks_the_same(tmp_path):
    line = np.linspace(0, 255, 800)
    waves = 127 + 60 * np.sin(line[None, :, None] / np.array([9, 14, 23])) + 60 * np.cos(line[:600, None, None] / 17)
    Image.fromarray(np.clip(waves, 0, 255).astype(np.uint8)).save(tmp_path / "x.jpg", quality=95)
    small = prepared(FileImages(tmp_path), "x.jpg", 48, "crop").float()
    exact = resized(read_image(tmp_path / "x.jpg"), 48).float()
    assert (small - exact).abs().mean() < 1
    assert (small - exact).abs().max() < 8
