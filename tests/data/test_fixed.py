import os
import pickle

import numpy as np
import pytest
from PIL import Image

from danil.data import ImageError, read_source
from danil.data.dataset import Images
from danil.data.fake import write_fake
from danil.data.files import UnreadableImages
from danil.data.fixed import fixed


@pytest.fixture
def manifest(tmp_path):
    return fixed(read_source(f"folder:{write_fake('folder', tmp_path / 'data', images=6)}"))


def test_images_that_stay_as_they_were_are_read_as_before(manifest):
    path = manifest.table["path"][0]
    assert manifest.store.read(path).size == (24, 24)
    assert fixed(manifest).store is manifest.store
    assert pickle.loads(pickle.dumps(manifest.store)) == manifest.store


def test_the_depth_of_grey_values_is_kept(tmp_path):
    for place in range(4):
        (tmp_path / "ab"[place % 2]).mkdir(exist_ok=True)
        Image.fromarray(np.full((8, 8), 4095, np.uint16)).save(tmp_path / "ab"[place % 2] / f"{place}.png")
    kept = fixed(read_source(f"folder:{tmp_path}?depth=12"))
    assert set(kept.store.stamps) == set(kept.table["path"])
    assert np.asarray(kept.store.read("a/0.png")).min() == 255


def test_a_vanished_image_is_named(manifest):
    path = manifest.table["path"][1]
    manifest.store.file(path).unlink()
    with pytest.raises(ImageError, match=rf"{path}` has vanished.*--resume"):
        manifest.store.read(path)


@pytest.mark.parametrize("same_size", [True, False])
def test_a_changed_image_is_named(manifest, same_size):
    path = manifest.table["path"][1]
    file = manifest.store.file(path)
    content, times = file.read_bytes(), file.stat()
    file.write_bytes(content if same_size else content + b"x")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns + same_size))
    with pytest.raises(ImageError, match=rf"{path}` has changed.*--resume"):
        manifest.store.read(path)
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    manifest.store.read(path)


def test_decoded_images_in_memory_do_not_care_and_others_do(manifest):
    kept, later = (Images(manifest, 24, cache=cache) for cache in ("memory", "none"))
    rows = np.arange(len(manifest))
    before = kept.batch(rows).images
    path = manifest.table["path"][2]
    manifest.store.file(path).unlink()
    assert (kept.batch(rows).images == before).all()
    with pytest.raises(UnreadableImages, match=f"{path}` has vanished"):
        later.batch(rows)
