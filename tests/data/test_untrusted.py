"""What strangers' files can try: nothing runs, nothing outside the data is read, memory stays bounded."""

import io
import os
import threading
import zipfile

import numpy as np
import pytest
from PIL import Image

from danil.data import DataError, FileImages, ImageError, audit_data, image_files, medmnist, read_image, read_source
from danil.data.allowance import Allowance
from danil.data.fake import write_fake
from danil.data.hostile import ENCODINGS, bombs, encoded, mutated


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_mutated_images_are_decoded_or_refused_by_name():
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    whole = [encoded(picture, name) for name in ENCODINGS]
    rng = np.random.default_rng(0)
    refused = 0
    for number in range(1000):
        found = outcome(mutated(whole[number % len(whole)], rng))
        assert isinstance(found, Image.Image) or "`m.bin`" in found
        refused += isinstance(found, str)
    assert 100 < refused < 1000


def outcome(content):
    """Return the picture, or why there is none."""
    try:
        return read_image(io.BytesIO(content), "m.bin")
    except ImageError as error:
        return str(error)


@pytest.mark.filterwarnings("ignore")
def test_no_bomb_is_decoded_to_more_than_it_shows():
    for name, content in bombs():
        found = outcome(content)
        small = isinstance(found, Image.Image) and found.width * found.height <= 256
        assert small or "`m.bin`" in found, name


def test_an_allowance_is_never_exceeded_and_a_greater_need_is_granted_alone():
    allowance = Allowance(10)
    seen = []

    def take(needed):
        with allowance.of(needed):
            seen.append(allowance.taken)

    threads = [threading.Thread(target=take, args=(needed,)) for needed in (4, 7, 10, 25, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 5
    assert max(seen) == 10
    assert allowance.taken == 0


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(ImageError, match="no regular file"):
        read_image(tmp_path / "x.png")


def test_identical_files_are_not_looked_for_in_a_pipe(tmp_path):
    path = write_fake("folder", tmp_path / "data", images=4)
    os.mkfifo(path / "benign" / "pipe.png")
    with pytest.raises(ImageError, match="no regular file"):
        read_source(f"folder:{path}?groups=identical")


def test_an_audit_names_a_pipe_instead_of_waiting_for_it(tmp_path):
    path = write_fake("folder", tmp_path / "data", images=4)
    os.mkfifo(path / "benign" / "pipe.png")
    (fault,) = audit_data(read_source(f"folder:{path}")).image_files.unreadable
    assert fault.path == "benign/pipe.png"
    assert "no regular file" in fault.reason


def test_synthetic_sets_of_absurd_size_are_refused():
    with pytest.raises(DataError, match="1,000,000"):
        read_source("synthetic:dermoscopy?images=99999999999999")


def test_names_are_shown_on_one_line_and_kept_as_they_are():
    error = ImageError("a\n\x1b[31m\udcff.png", "is empty.")
    assert str(error) == "image `a\\n\\x1b[31m\\udcff.png` is empty."
    assert error.path == "a\n\x1b[31m\udcff.png"


@pytest.fixture
def secret(tmp_path):
    """Return a data folder; beside it lies an image that it must not lead to."""
    path = write_fake("folder", tmp_path / "data", images=4)
    (tmp_path / "outside").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "outside" / "secret.png")
    return path


def test_links_that_lead_out_are_refused_unless_allowed(secret):
    (secret / "benign" / "link.png").symlink_to(secret.parent / "outside" / "secret.png")
    with pytest.raises(DataError, match=r"1 link \(`benign/link.png`\) leading out .*links=follow"):
        read_source(str(secret))
    assert "benign/link.png" in read_source(f"folder:{secret}?links=follow").table["path"].tolist()
    with pytest.raises(ImageError, match="leads out"):
        FileImages(secret).read("benign/link.png")
    with pytest.raises(DataError, match="leading out"):
        image_files([secret])


def test_linked_folders_that_lead_out_are_refused_and_inner_links_are_followed(secret):
    (secret / "benign" / "again.png").symlink_to(secret / "benign" / "image_0.png")
    assert "benign/again.png" in read_source(str(secret)).table["path"].tolist()
    (secret / "stolen").symlink_to(secret.parent / "outside")
    with pytest.raises(DataError, match="`stolen`"):
        read_source(str(secret))


def test_a_linked_folder_above_a_class_is_refused_too(tmp_path):
    path = write_fake("crc_msi", tmp_path / "data", images=8)
    (path / "CRC_DX_TEST").rename(tmp_path / "elsewhere")
    (path / "CRC_DX_TEST").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"CRC_DX_TEST/MSIMUT` is, or lies in, a link that leads out"):
        read_source(f"crc_msi:{path}")


def test_a_root_that_is_itself_a_link_is_what_the_user_gave(secret):
    (secret.parent / "root").symlink_to(secret)
    assert len(read_source(str(secret.parent / "root"))) == 4


@pytest.mark.parametrize(
    "cell", ["../outside/secret.png", "{base}/outside/secret.png", "link.png", "linked/secret.png"]
)
def test_a_table_reads_no_image_outside_its_folder_unless_named(secret, cell):
    base = secret.parent
    (secret / "link.png").symlink_to(base / "outside" / "secret.png")
    (secret / "linked").symlink_to(base / "outside")
    (secret / "t.csv").write_text(f"path,label\n{cell.format(base=base)},x\nbenign/image_0.png,y\n")
    with pytest.raises(DataError, match="out") as caught:
        read_source(f"csv:{secret / 't.csv'}")
    assert "t.csv" in str(caught.value)
    option = "links=follow" if "link" in cell else f"root={base}"
    assert option in str(caught.value) or "root=" in str(caught.value)


def test_a_table_of_absolute_paths_needs_its_folder_named(secret):
    (secret / "t.csv").write_text(f"path,label\n{secret.parent}/outside/secret.png,x\n")
    with pytest.raises(DataError, match=rf"\?root={secret.parent}/outside"):
        read_source(f"csv:{secret / 't.csv'}")
    assert len(read_source(f"csv:{secret / 't.csv'}?root={secret.parent}/outside")) == 1


def test_a_link_that_leads_to_itself_is_an_image_that_does_not_exist(secret):
    (secret / "benign" / "loop.png").symlink_to(secret / "benign" / "loop.png")
    with pytest.raises(ImageError, match="loop"):
        FileImages(secret).read("benign/loop.png")


def test_names_that_are_no_text_are_named(secret):
    with open(os.fsencode(secret) + b"/benign/\xff.png", "wb") as stream:  # noqa: PTH123
        stream.write(b"x")
    with pytest.raises(DataError, match=r"udcff.*Rename"):
        read_source(str(secret))


def packed(path, **arrays):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in arrays.items():
            archive.writestr(f"{name}.npy", content)


def declared(shape, content=b""):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue() + content


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (declared((10**6, 10**6)), "shorter than its header says"),
        (declared((2**25,), bytes(2**25)), "which no images do"),
    ],
)
def test_an_archive_that_declares_more_than_it_holds_is_refused_before_it_is_unpacked(tmp_path, content, words):
    packed(tmp_path / "x.npz", train_images=content)
    with pytest.raises(DataError, match=words):
        read_source(str(tmp_path / "x.npz"))


def test_all_arrays_of_an_archive_together_must_fit_free_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(medmnist, "free_memory", lambda: 100_000)
    packed(tmp_path / "x.npz", **{f"a{number}": declared((2**14,), bytes(2**14)) for number in range(8)})
    with pytest.raises(DataError, match="GiB free"):
        read_source(str(tmp_path / "x.npz"))
