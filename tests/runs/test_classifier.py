"""A fitted classifier sees what training saw, in whatever form the image is given."""

import warnings

import numpy as np
import pytest
from PIL import Image

from danil.data import read_image, read_source
from danil.data.fake import write_fake
from danil.data.fake_dicom import write_dicom_file
from danil.models import create_model
from danil.runs import RunError, RunFolder, open_run, predict_files, read_recipe, run_manifest, write_checkpoint
from danil.runs.classifier import picture
from runs.made import made_run


def fitted_run(folder, source):
    """A run of this source with an untrained network."""
    settings = (f"data.source={source!r}", "data.size=32", "model.backbone=test_resnet", "model.weights=none")
    manifest = read_source(source)
    run = made_run(folder, read_recipe("paper", settings), manifest)
    model = create_model("test_resnet", manifest.tasks, weights="none")
    write_checkpoint(run.checkpoint("last"), {"model": model.state_dict()})
    return run.path


def saved(folder, kind):
    """Write a file that is more than its bare values: turned, of 16 bits, or transparent."""
    random, turned = np.random.default_rng(0), Image.Exif()
    turned[0x0112] = 6
    if kind == "turned":
        Image.fromarray(random.integers(0, 256, (8, 12, 3), dtype=np.uint8)).save(folder / "x.png", exif=turned)
    elif kind == "16 bit":
        Image.fromarray(random.integers(0, 40000, (8, 12), dtype=np.uint16)).save(folder / "x.png")
    else:
        Image.fromarray(random.integers(0, 256, (8, 12, 4), dtype=np.uint8)).save(folder / "x.png")
    return folder / "x.png"


@pytest.mark.parametrize("kind", ["turned", "16 bit", "transparent"])
def test_an_opened_picture_is_read_as_its_file_is(tmp_path, kind):
    file = saved(tmp_path, kind)
    with Image.open(file) as opened:
        np.testing.assert_array_equal(picture(opened), read_image(file))


def test_files_and_pictures_are_read_at_the_depth_of_the_runs_data(tmp_path):
    for number in range(4):
        deep = np.random.default_rng(number).integers(0, 4096, (40, 40), dtype=np.uint16)
        (tmp_path / "set" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(deep).save(tmp_path / "set" / "ab"[number % 2] / f"{number}.png")
    fitted = open_run(fitted_run(tmp_path / "run", f"folder:{tmp_path / 'set'}?depth=12"))
    file = tmp_path / "set" / "a" / "0.png"
    with Image.open(file) as opened:
        shown = [fitted.display(file), fitted.display(opened)]
    trained = fitted.images(run_manifest(fitted.folder)).batch(np.array([0])).images
    for one in shown:
        np.testing.assert_array_equal(one.numpy(), trained.numpy())
    assert int(trained.max()) > 200
    table, faults = predict_files(fitted, [file])
    assert (len(table), faults) == (1, [])


@pytest.mark.parametrize("shape", [(8, 8, 1), (3, 8, 8), (8, 8, 4), (8,), (0, 8, 3), (1, 8, 8, 3)])
def test_an_array_of_another_shape_is_refused_with_those_that_are_taken(shape):
    with pytest.raises(RunError, match=r"shape .*; give uint8 of shape \(H, W\) or \(H, W, 3\)"):
        picture(np.zeros(shape, np.uint8))


@pytest.fixture
def cines(tmp_path):
    """A folder of two DICOM files, of five different frames and of one, and a function that makes a run of it."""
    pytest.importorskip("pydicom")
    frames = np.random.default_rng(0).integers(0, 4000, (5, 16, 16)).astype(np.uint16)
    for number, pixels in enumerate((frames, frames[0])):
        elements = {"PatientID": f"MRN-{number}", "SOPInstanceUID": f"1.2.{number + 1}"}
        write_dicom_file(tmp_path / "set" / "ab"[number] / f"{number}.dcm", pixels, elements)
    return tmp_path / "set", lambda options: open_run(
        fitted_run(tmp_path / "run", f"dicom:{tmp_path / 'set'}{options}")
    )


@pytest.mark.parametrize(("options", "frames"), [("", "12345"), ("?frames=middle", "3"), ("?frames=first", "1")])
def test_the_frames_that_were_trained_on_are_predicted(cines, options, frames):
    folder, make = cines
    fitted, files = make(options), [folder / "a" / "0.dcm", folder / "b" / "1.dcm"]
    table, faults = predict_files(fitted, files, batch_size=2)
    assert table["path"].tolist() == [*(f"{files[0]}#{number}" for number in frames), str(files[1])]
    assert not faults
    manifest = run_manifest(fitted.folder)
    expected = fitted.predict([manifest.store.read(path) for path in manifest.table["path"]])
    np.testing.assert_allclose(table.filter(like="probability"), expected.filter(like="probability"), rtol=1e-5)
    assert fitted.predict(files)["path"].tolist() == table["path"].tolist()


def test_a_frame_may_be_named_and_of_a_whole_file_the_first_is_shown_with_a_warning(cines):
    folder, make = cines
    fitted, file = make(""), folder / "a" / "0.dcm"
    with pytest.warns(UserWarning, match=r"has 5 frames, of which the first is taken\. Name another: `.*0\.dcm#2`"):
        first = fitted.display(file)
    with warnings.catch_warnings(action="error"):
        assert (fitted.display(f"{file}#1") == first).all()
        assert (fitted.display(f"{file}#2") != first).any()


def test_data_that_have_moved_are_told_with_the_run_and_what_to_say(tmp_path):
    source = write_fake("folder", tmp_path / "images")
    run = fitted_run(tmp_path / "run", str(source))
    source.rename(tmp_path / "moved")
    with pytest.raises(RunError, match=r"of the run `.*/run` cannot be read from `folder:.*does not exist.*`--data`"):
        run_manifest(RunFolder(run))
    assert len(run_manifest(RunFolder(run), str(tmp_path / "moved"))) == 24
