"""Made-up DICOM files, written by pydicom, of every kind that is read."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from danil.data.dicom_pixels import pydicom_module


def write_dicom(path: Path, images: int, rng: np.random.Generator) -> Path:
    """Write `CLASS/IM_NUMBER` of two classes, two files of each patient, 12-bit MONOCHROME2 with a window."""
    for number in range(images):
        label, shade = ("benign", "malignant")[number // 2 % 2], 700 + 1800 * (number // 2 % 2)
        pixels = np.clip(shade + rng.normal(0, 200, (24, 24)), 0, 4095).astype(np.uint16)
        elements = {
            "PatientID": f"MRN-{number // 2:05d}",
            "PatientName": f"Doe{number // 2}^Jane",
            "PatientBirthDate": "19500101",
            "PatientSex": "FM"[number // 2 % 2],
            "PatientAge": f"{20 + number % 75:03d}Y",
            "SOPInstanceUID": f"1.2.826.0.1.3680043.8.498.{number + 1}",
            "BitsStored": 12,
            "HighBit": 11,
            "WindowCenter": 2048,
            "WindowWidth": 4096,
        }
        write_dicom_file(path / label / f"IM_{number:04d}.dcm", pixels, elements)
    return path


def dicom_dataset(pixels: np.ndarray[Any, Any], elements: Mapping[str, Any]) -> Any:
    """Return a secondary capture image of `(H, W)`, `(N, H, W)` or `(H, W, 3)` pixels, explicit little endian.

    `elements` (keyword → value) go over the usual ones.
    """
    pydicom = pydicom_module()
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    colour = pixels.ndim == 3 and pixels.shape[-1] == 3
    rows, columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    bits = 8 * pixels.dtype.itemsize
    usual: dict[str, Any] = {
        "SOPClassUID": pydicom.uid.SecondaryCaptureImageStorage,
        "SOPInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "Modality": "OT",
        "Manufacturer": "danil",
        "Rows": rows,
        "Columns": columns,
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    usual |= {"PlanarConfiguration": 0} if colour else {}
    usual |= {"NumberOfFrames": len(pixels)} if pixels.ndim == 3 and not colour else {}
    for keyword, value in {**usual, **elements}.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OW" if bits > 8 else "OB"
    return dataset


def write_dicom_file(file: Path, pixels: np.ndarray[Any, Any], elements: Mapping[str, Any]) -> Path:
    """Write the dataset of `dicom_dataset`."""
    return save_dicom(file, dicom_dataset(pixels, elements))


def save_dicom(file: Path, dataset: Any) -> Path:
    """Write a dataset as a DICOM file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)
    return file


def jpeg_dataset(picture: Image.Image, elements: Mapping[str, Any], kind: str = "JPEG") -> Any:
    """Return a dataset that holds an RGB or grey picture as baseline JPEG or as JPEG 2000."""
    pydicom = pydicom_module()
    stream = io.BytesIO()
    options: dict[str, Any] = {"quality": 95} if kind == "JPEG" else {"no_jp2": True, "irreversible": False}
    picture.save(stream, kind, **options)
    dataset = dicom_dataset(np.asarray(picture), elements)
    dataset.file_meta.TransferSyntaxUID = (
        pydicom.uid.JPEGBaseline8Bit if kind == "JPEG" else pydicom.uid.JPEG2000Lossless
    )
    if picture.mode == "RGB":
        dataset.PhotometricInterpretation = "YBR_FULL_422" if kind == "JPEG" else "YBR_RCT"
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset
