"""DICOM files become the pictures a viewer shows, and their patients become groups that nobody can name."""

import io
import pickle
import re

import numpy as np
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom")

from danil.data import DataError, ImageError, image_files, read_source, unreadable  # noqa: E402
from danil.data.dicom_pixels import read_frame  # noqa: E402
from danil.data.dicom_streams import codestream_size  # noqa: E402
from danil.data.fake import write_fake  # noqa: E402
from danil.data.fake_dicom import dicom_dataset, jpeg_dataset, save_dicom, write_dicom_file  # noqa: E402

RAMP = np.arange(16, dtype=np.uint16).reshape(4, 4) * 200
CHECKS = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
SMOOTH = np.broadcast_to(np.linspace(40, 200, 16, dtype=np.uint8)[:, None, None], (16, 16, 3)).copy()


def grey(file, **options):
    picture = np.asarray(read_frame(file, file.name, **options))
    assert picture.dtype == np.uint8
    assert (picture == picture[..., :1]).all()
    return picture[..., 0]


def test_without_a_window_the_frames_own_range_is_shown(tmp_path):
    file = write_dicom_file(tmp_path / "a.dcm", RAMP, {"BitsStored": 12, "HighBit": 11})
    np.testing.assert_array_equal(grey(file), np.rint(RAMP * (255 / 3000)))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("LINEAR", lambda v: np.clip((v - 999.5) / 999 + 0.5, 0, 1)),
        ("LINEAR_EXACT", lambda v: np.clip((v - 1000) / 1000 + 0.5, 0, 1)),
        ("SIGMOID", lambda v: 1 / (1 + np.exp(-4 * (v - 1000) / 1000))),
    ],
)
def test_the_files_window_is_applied_by_its_function(tmp_path, function, expected):
    elements = {"WindowCenter": [1000, 7], "WindowWidth": [1000, 7], "VOILUTFunction": function}
    file = write_dicom_file(tmp_path / "a.dcm", RAMP, elements)
    np.testing.assert_array_equal(grey(file), np.rint(255 * expected(RAMP.astype(np.float64))))
    np.testing.assert_array_equal(grey(file, window="full"), np.rint(RAMP * (255 / 3000)))


def test_a_window_of_ones_own_counts_in_rescaled_units(tmp_path):
    signed = RAMP.astype(np.int16) - 1000
    file = write_dicom_file(tmp_path / "a.dcm", signed, {"RescaleSlope": 2, "RescaleIntercept": -24})
    units = signed * 2.0 - 24
    expected = np.rint(255 * np.clip((units - 39.5) / 399 + 0.5, 0, 1))
    np.testing.assert_array_equal(grey(file, window=(40.0, 400.0)), expected)


def test_monochrome1_is_monochrome2_inverted(tmp_path):
    one = write_dicom_file(tmp_path / "1.dcm", RAMP, {"PhotometricInterpretation": "MONOCHROME1"})
    two = write_dicom_file(tmp_path / "2.dcm", RAMP, {})
    np.testing.assert_array_equal(grey(one), 255 - grey(two))


def test_a_voi_table_is_looked_up(tmp_path):
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 8], [10, 20, 30, 200]
    dataset = dicom_dataset(np.array([[0, 1], [2, 9]], np.uint16), {})
    dataset.VOILUTSequence = [table]
    dataset.VOILUTSequence[0]["LUTDescriptor"].VR = dataset.VOILUTSequence[0]["LUTData"].VR = "US"
    np.testing.assert_array_equal(grey(save_dicom(tmp_path / "a.dcm", dataset)), [[10, 20], [30, 200]])


def test_an_enhanced_files_frames_have_their_own_rescale(tmp_path):
    frames = np.stack([RAMP, RAMP])
    dataset = dicom_dataset(frames, {"WindowCenter": 1000, "WindowWidth": 2000, "VOILUTFunction": "LINEAR_EXACT"})
    groups = []
    for slope in (1, 0.5):
        item, group = pydicom.Dataset(), pydicom.Dataset()
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = slope, 0, "US"
        group.PixelValueTransformationSequence = [item]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    file = save_dicom(tmp_path / "a.dcm", dataset)
    for frame, slope in ((0, 1), (1, 0.5)):
        expected = np.rint(255 * np.clip((RAMP * float(slope) - 1000) / 2000 + 0.5, 0, 1))
        np.testing.assert_array_equal(grey(file, frame=frame), expected)


def test_rgb_is_taken_as_it_is_and_ybr_is_converted(tmp_path):
    plain = write_dicom_file(tmp_path / "rgb.dcm", CHECKS, {})
    np.testing.assert_array_equal(np.asarray(read_frame(plain, "rgb")), CHECKS)
    ybr = np.asarray(Image.fromarray(SMOOTH).convert("YCbCr"))
    file = write_dicom_file(tmp_path / "ybr.dcm", ybr, {"PhotometricInterpretation": "YBR_FULL"})
    np.testing.assert_allclose(np.asarray(read_frame(file, "ybr")).astype(int), SMOOTH, atol=2)


def test_a_palette_gives_its_colours(tmp_path):
    dataset = dicom_dataset(np.array([[0, 1], [2, 3]], np.uint8), {"PhotometricInterpretation": "PALETTE COLOR"})
    colours = {"Red": [0, 255, 7, 9], "Green": [1, 2, 3, 4], "Blue": [255, 0, 128, 64]}
    for name, values in colours.items():
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", (np.array(values, "<u2") * 257).tobytes())
    picture = np.asarray(read_frame(save_dicom(tmp_path / "a.dcm", dataset), "a"))
    np.testing.assert_array_equal(picture.reshape(4, 3).T, list(colours.values()))


@pytest.mark.parametrize(("kind", "tolerance"), [("JPEG", 6), ("JPEG2000", 0)])
def test_jpeg_and_jpeg_2000_are_decoded(tmp_path, kind, tolerance):
    file = save_dicom(tmp_path / "a.dcm", jpeg_dataset(Image.fromarray(SMOOTH), {}, kind))
    np.testing.assert_allclose(np.asarray(read_frame(file, "a")).astype(int), SMOOTH, atol=tolerance)


@pytest.mark.parametrize("name", ["RLELossless", "JPEG2000Lossless"])
def test_16_bit_frames_survive_lossless_compression(tmp_path, name):
    frames = np.kron(np.stack([RAMP, RAMP[::-1]]), np.ones((1, 16, 16), np.uint16))
    dataset = dicom_dataset(frames, {})
    plain = save_dicom(tmp_path / "plain.dcm", dataset)
    dataset.compress(getattr(pydicom.uid, name), generate_instance_uid=False)
    file = save_dicom(tmp_path / "small.dcm", dataset)
    for frame in (0, 1):
        np.testing.assert_array_equal(grey(file, frame=frame), grey(plain, frame=frame))


def test_a_missing_decoder_is_named(tmp_path):
    dataset = jpeg_dataset(Image.fromarray(SMOOTH[..., 0]), {})
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    file = save_dicom(tmp_path / "a.dcm", dataset)
    with pytest.raises(ImageError, match=r"image `a` .*pip install (python-gdcm|pylibjpeg-libjpeg)"):
        read_frame(file, "a")


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    path = write_fake("dicom", tmp_path, images=4)
    monkeypatch.setattr("danil.data.dicom_pixels.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install danil-torch\[dicom\]"):
        read_source(f"dicom:{path}")


def hostile(whole):
    header = whole.index(b"\x28\x00\x10\x00US\x02\x00")
    huge = whole[: header + 8] + b"\xff\xff" + whole[header + 10 :]
    yield "empty", b"", "is empty"
    yield "text", b"hello", "no DICOM file"
    yield "cut in the header", whole[:300], "damaged|no pixels"
    yield "cut in the pixels", whole[:-10], "damaged"
    yield "more rows than data", huge, "damaged"
    yield "wrong syntax", whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0"), "damaged"
    yield "unknown syntax", whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0"), "not read|damaged"


def test_hostile_files_are_named_with_a_reason(tmp_path):
    whole = write_dicom_file(tmp_path / "a.dcm", np.zeros((40, 40), np.uint16), {}).read_bytes()
    for name, content, words in hostile(whole):
        file = tmp_path / "bad.dcm"
        file.write_bytes(content)
        with pytest.raises(ImageError, match=words) as caught:
            read_frame(file, "bad.dcm")
        assert "image `bad.dcm`" in str(caught.value), name


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Rows": 65535, "Columns": 65535}, "65535×65535 pixels"),
        ({"Rows": 0}, "no pixels"),
        ({"SamplesPerPixel": 200}, "200 samples"),
        ({"BitsAllocated": 64}, "64 bits"),
    ],
)
def test_absurd_numbers_are_refused_before_decoding(tmp_path, elements, words):
    file = write_dicom_file(tmp_path / "a.dcm", np.zeros((4, 4), np.uint16), elements)
    with pytest.raises(ImageError, match=words):
        read_frame(file, "a")


def test_a_deflated_file_is_refused_unread(tmp_path):
    dataset = dicom_dataset(np.zeros((4, 4), np.uint16), {})
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    with pytest.raises(ImageError, match="deflated"):
        read_frame(save_dicom(tmp_path / "a.dcm", dataset), "a")


def test_a_frame_of_another_size_than_the_header_says_is_refused_before_decoding(tmp_path):
    for kind in ("JPEG", "JPEG2000"):
        dataset = jpeg_dataset(Image.new("RGB", (300, 200)), {}, kind)
        dataset.Rows = dataset.Columns = 16
        with pytest.raises(ImageError, match="300×200 pixels, its header says 16×16"):
            read_frame(save_dicom(tmp_path / "a.dcm", dataset), "a")


def test_a_frame_in_a_container_is_refused_before_decoding(tmp_path):
    stream = io.BytesIO()
    Image.new("RGB", (16, 16)).save(stream, "JPEG2000")
    dataset = jpeg_dataset(Image.new("RGB", (16, 16)), {}, "JPEG2000")
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    with pytest.raises(ImageError, match=r"no plain JPEG.*dcmconv"):
        read_frame(save_dicom(tmp_path / "a.dcm", dataset), "a")


def test_a_compressed_frames_size_is_only_taken_where_every_decoder_would_find_it():
    picture = Image.new("RGB", (30, 20))
    streams = {}
    for kind, options in (("JPEG", {}), ("JPEG2000", {"no_jp2": True})):
        stream = io.BytesIO()
        picture.save(stream, kind, **options)
        streams[kind] = stream.getvalue()
        assert codestream_size(streams[kind]) == (30, 20)
    jpeg, plane = streams["JPEG"], streams["JPEG2000"]
    assert codestream_size(jpeg[:2] + b"\xff\xff" + jpeg[2:]) == (30, 20), "filling bytes are allowed"
    for mark in (0x00, 0x01, 0xD0, 0xD8):
        hidden = bytes((0xFF, mark)) + b"\xff\xe0\x00\x04\x00\x00"
        assert codestream_size(jpeg[:2] + hidden + jpeg[2:]) is None
    assert codestream_size(jpeg[:2] + b"\xff\xe0\x00\x00" + jpeg[2:]) is None
    place = jpeg.index(b"\xff\xc0") + 9
    assert codestream_size(jpeg[:place] + b"\x05" + jpeg[place + 1 :]) is None
    assert codestream_size(plane[:40] + b"\x00\x05" + plane[42:]) is None
    for whole in streams.values():
        assert {codestream_size(whole[:end]) for end in range(len(whole))} == {None, (30, 20)}


def test_rle_data_that_unpack_to_far_more_are_refused(tmp_path):
    dataset = dicom_dataset(np.zeros((4, 4), np.uint8), {})
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.RLELossless
    frame = np.array([1, 64, *[0] * 14], "<u4").tobytes() + b"\x81\0" * 600_000
    dataset.PixelData = pydicom.encaps.encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(ImageError, match="unpacks to much more"):
        read_frame(save_dicom(tmp_path / "a.dcm", dataset), "a")


def test_patients_are_groups_under_a_stable_hash(tmp_path):
    path = write_fake("dicom", tmp_path / "one")
    manifest = read_source(str(path))
    assert manifest.source == f"dicom:{path}"
    assert manifest.grouped
    assert manifest.table["group"].value_counts().eq(2).all()
    assert manifest.table["group"].str.fullmatch("[0-9a-f]{16}").all()
    assert "MRN" not in manifest.table.to_csv()
    again = read_source(str(write_fake("dicom", tmp_path / "two")))
    assert again.table["group"].tolist() == manifest.table["group"].tolist()
    kept = read_source(f"dicom:{path}?patients=keep").table["group"]
    assert set(kept) == {f"MRN-{number:05d}" for number in range(12)}


def test_files_without_a_patient_are_told_and_a_group_that_no_file_has_is_refused(tmp_path):
    path = write_fake("dicom", tmp_path, images=4)
    with pytest.raises(DataError, match=r"`group` is `PatientIDD`, an element that no DICOM file"):
        read_source(f"dicom:{path}?group=PatientIDD")
    save_dicom(path / "benign" / "extra.dcm", dicom_dataset(np.zeros((8, 8), np.uint8), {}))
    with pytest.warns(UserWarning, match=r"1 DICOM file \(`benign/extra\.dcm`\) without PatientID; each is a group"):
        manifest = read_source(f"dicom:{path}")
    groups = manifest.table.set_index("path")["group"]
    assert (groups == groups["benign/extra.dcm"]).sum() == 1


def test_the_hash_depends_on_the_data_set(tmp_path):
    whole, part = write_fake("dicom", tmp_path / "whole"), write_fake("dicom", tmp_path / "part", images=12)
    assert not set(read_source(str(whole)).table["group"]) & set(read_source(str(part)).table["group"])


def test_names_that_hold_an_identifier_are_hashed_and_still_read(tmp_path):
    for number in range(4):
        elements = {"PatientName": "Doe^Jane", "PatientID": "77", "SOPInstanceUID": f"1.2.{number + 1}"}
        write_dicom_file(tmp_path / "ab"[number % 2] / f"JANE_{number}.dcm", RAMP + number, elements)
    with pytest.warns(UserWarning, match="names=keep"):
        manifest = read_source(f"dicom:{tmp_path}")
    assert not re.search("jane|doe", manifest.table.to_csv(), re.IGNORECASE)
    store = pickle.loads(pickle.dumps(manifest.store))
    assert all(store.read(path).size == (4, 4) and store.size(path) > 0 for path in manifest.table["path"])
    assert set(read_source(f"dicom:{tmp_path}?names=keep").table["label"]) == {"a", "b"}
    (tmp_path / "a" / "JANE_0.dcm").write_bytes(b"")
    with pytest.warns(UserWarning, match="names=keep"):
        faults = unreadable(read_source(f"dicom:{tmp_path}"))
    assert [("JANE_0.dcm" in str(fault), "JANE" in fault.path) for fault in faults] == [(True, False)]


def test_every_frame_is_an_image_unless_one_is_asked_for(tmp_path):
    for name in ("a", "b"):
        uid = f"1.2.{ord(name)}"
        write_dicom_file(
            tmp_path / name / "cine.dcm", np.stack([RAMP] * 5), {"SOPInstanceUID": uid, "PatientID": f"{name}-1"}
        )
    manifest = read_source(f"dicom:{tmp_path}")
    assert manifest.table["path"].tolist()[:5] == [f"a/cine.dcm#{number}" for number in range(1, 6)]
    assert manifest.table["group"].nunique() == 2
    assert read_source(f"dicom:{tmp_path}?frames=middle").table["path"].tolist() == ["a/cine.dcm#3", "b/cine.dcm#3"]
    with pytest.raises(ImageError, match=r"is not in|none of them"):
        manifest.store.read("a/cine.dcm#6")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("SOPInstanceUID", lambda n: f"1.2.826.0.1.3680043.8.498.{n + 1}"),
        ("PatientID", lambda n: f"MRN-{n // 2:05d}"),
        ("file", lambda n: f"IM_{n:04d}.dcm"),
    ],
)
def test_labels_may_come_from_a_table(tmp_path, key, value):
    path = write_fake("dicom", tmp_path / "set", images=8)
    rows = "".join(f"{value(number)},grade {number // 4}\n" for number in range(8))
    (tmp_path / "labels.csv").write_text(f"{key},label\n{rows}")
    table = read_source(f"dicom:{path}?labels=labels.csv").table
    assert sorted(table["label"]) == ["grade 0"] * 4 + ["grade 1"] * 4


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ("a/IM1.dcm,x\nb/IM1.dcm,y\nlone.dcm,z\n", ["x", "y", "z"]),
        ("lone.dcm,z\nIM1.dcm,w\na/IM1.dcm,x\nb/IM1.dcm,y\n", ["x", "y", "z"]),
        ("a/IM1.dcm,x\nIM1.dcm,w\nlone.dcm,z\n", None),
        ("IM1.dcm,w\nlone.dcm,z\n", None),
    ],
)
def test_a_files_name_stands_for_its_path_only_where_no_other_file_has_it(tmp_path, rows, labels):
    for number, name in enumerate(("a/IM1.dcm", "b/IM1.dcm", "c/lone.dcm")):
        elements = {"PatientID": f"MRN-{number}", "SOPInstanceUID": f"1.2.{number + 1}"}
        write_dicom_file(tmp_path / "set" / name, RAMP, elements)
    (tmp_path / "labels.csv").write_text(f"file,label\n{rows}")
    if labels is None:
        with pytest.raises(DataError, match=r"labels\.csv` names .*`b/IM1\.dcm`\) by names that several files have"):
            read_source(f"dicom:{tmp_path / 'set'}?labels=labels.csv")
    else:
        assert read_source(f"dicom:{tmp_path / 'set'}?labels=labels.csv").table["label"].tolist() == labels


def test_labels_may_be_an_element_and_a_missing_one_is_named(tmp_path):
    path = write_fake("dicom", tmp_path)
    assert read_source(f"dicom:{path}?label=PatientSex").classes == ("F", "M")
    with pytest.raises(DataError, match=r"24 DICOM files .* without a label"):
        read_source(f"dicom:{path}?label=BodyPartExamined")


def test_files_without_pixels_are_left_out_and_damaged_ones_are_reported(tmp_path):
    path = write_fake("dicom", tmp_path, images=8)
    report = dicom_dataset(np.zeros((4, 4), np.uint8), {})
    del report.Rows, report.PixelData
    save_dicom(path / "benign" / "report.dcm", report)
    (path / "malignant" / "broken.dcm").write_bytes(b"DICOM it is not")
    with pytest.warns(UserWarning, match=r"1 DICOM file \(`benign/report\.dcm`\) without pixels"):
        manifest = read_source(str(path))
    assert len(manifest) == 9
    assert [error.path for error in unreadable(manifest)] == ["malignant/broken.dcm"]


def test_files_without_an_ending_are_found_by_a_bare_path_and_for_prediction_but_no_index(tmp_path):
    for name in ("a/IM1", "b/IM2"):
        write_dicom_file(tmp_path / name, RAMP, {"PatientID": f"MRN-{name[-1]}", "SOPInstanceUID": f"1.2.{name[-1]}"})
    (tmp_path / "a" / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    assert read_source(str(tmp_path)).source == f"dicom:{tmp_path}"
    assert image_files([tmp_path]) == [tmp_path / "a" / "IM1", tmp_path / "b" / "IM2"]


@pytest.mark.parametrize("option", ["frames=some", "names=x", "patients=x", "window=1", "window=5,0", "links=x"])
def test_a_wrong_option_is_named(tmp_path, option):
    path = write_fake("dicom", tmp_path, images=4)
    with pytest.raises(DataError, match=option.split("=")[0]):
        read_source(f"dicom:{path}?{option}")
