"""Weights of strangers: nothing of them runs, and none unpacks to more than it is."""

import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save

from danil.models import WeightsError
from danil.models.weights import read_tensors


class Harm:
    """Make a folder when unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return (os.mkdir, (self.place,))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_not_run(tmp_path, zipped):
    torch.save(
        {"w": torch.zeros(2), "x": Harm(tmp_path / "harmed")}, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped
    )
    with pytest.raises(WeightsError, match=r"w\.pth.*nothing of it was run"):
        read_tensors(tmp_path / "w.pth")
    assert not (tmp_path / "harmed").exists()


def test_a_table_that_holds_itself_ends(tmp_path):
    table = {"w": torch.zeros(2)}
    table["model"] = table
    torch.save(table, tmp_path / "w.pth")
    assert list(read_tensors(tmp_path / "w.pth")) == ["w"]


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path):
    torch.save({"w": torch.zeros(1000, 1000)}, tmp_path / "w.pth")
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as small,
    ):
        for name in plain.namelist():
            small.writestr(name, plain.read(name))
    with pytest.raises(WeightsError, match=r"bomb\.pth.*unpacks to"):
        read_tensors(tmp_path / "bomb.pth")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        pickle.dumps([1], protocol=2),
        (10**12).to_bytes(8, "little") + b"{}",
        save({"w": torch.zeros(4)})[:-3],
        b"\x80\x02}q\x00(X\x01\x00\x00\x00w" + b"(" * 10_000,
    ],
)
@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_damaged_weights_are_named(tmp_path, content, ending):
    file = tmp_path / f"w.{ending}"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"w\.{ending}"):
        read_tensors(file)
