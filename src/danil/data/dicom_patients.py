"""The patients of a DICOM folder: groups under hashes, and paths that tell nobody's name."""

import re
import warnings
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from danil.data.manifest import DataError, counted

IDENTIFYING = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber")


def value(header: Any | None, keyword: str) -> str | None:
    """Return an element as text, `None` where it is missing or empty."""
    found = None if header is None else header.get(keyword)
    return str(found).strip() or None if found is not None else None


def check_groups(path: Path, headers: Mapping[str, Any | None], options: Mapping[str, str]) -> None:
    """Warn of files whose group is unknown: each is a group of its own.

    Raises:
        DataError: no file has the element asked for.
    """
    keyword = options.get("group", "PatientID")
    readable = {file: header for file, header in headers.items() if header is not None}
    without = [file for file, header in readable.items() if value(header, keyword) is None]
    if without and "group" in options and len(without) == len(readable):
        raise DataError(
            f"`group` is `{keyword}`, an element that no DICOM file in `{path}` has. Give a keyword, e.g. "
            "`PatientID` (default) or `StudyInstanceUID`."
        )
    if without:
        warnings.warn(
            f"`{path}`: {counted(without, 'DICOM file')} without {keyword}; each is a group of its own: splits and "
            "intervals take images of one patient for independent. Another element: `?group=KEYWORD`.",
            stacklevel=3,
        )


def set_key(headers: Mapping[str, Any]) -> bytes:
    """Return the key of the data set's hashes: its instance UIDs, which its runs do not hold (see `identifies`)."""
    uids = sorted(value(header, "SOPInstanceUID") or file for file, header in headers.items())
    return blake2b("\n".join(uids).encode("utf-8", "surrogateescape")).digest()


def hashed(text: str, key: bytes) -> str:
    """Return 16 hexadecimal digits for a text."""
    return blake2b(text.encode("utf-8", "surrogateescape"), key=key, digest_size=8).hexdigest()


def described(header: Any | None, options: Mapping[str, str], key: bytes, file: str) -> dict[str, Any]:
    """Return group and metadata of a file."""
    group = value(header, options.get("group", "PatientID")) or f"unknown {file}"
    years = re.fullmatch(r"0*(\d{1,3})Y", value(header, "PatientAge") or "")
    kept = options.get("patients", "hash") == "keep"
    return {
        "group": group if kept else hashed(group, key),
        "modality": value(header, "Modality"),
        "sex": value(header, "PatientSex"),
        "age": min(int(years[1]), 90) if years else None,
        "manufacturer": value(header, "Manufacturer"),
    }


def shown_names(path: Path, headers: Mapping[str, Any], names: str, key: bytes) -> dict[str, str]:
    """Return each file's name in the manifest: its path, or a hash."""
    telling = [file for file, header in headers.items() if identifies(file, header)] if names == "auto" else []
    if telling:
        warnings.warn(
            f"`{path}`: {len(telling)} names of files or folders hold a patient's name, ID or birth date, or the "
            "instance UID that keys the hashes; paths are replaced by hashes in all output (`?names=keep` keeps them).",
            stacklevel=3,
        )
    if names == "keep" or (names == "auto" and not telling):
        return {file: file for file in headers}
    return {file: f"{hashed('file ' + file, key)}.dcm" for file in headers}


def identifies(file: str, header: Any | None) -> bool:
    """Tell whether a path holds an identifier of the patient, or the file's instance UID.

    A word of three letters or more of an identifier counts where it is a word of the path; a whole identifier, marks
    aside, where it is a folder's or file's name or, from four letters on, anywhere in the path.
    """
    words = {word.lower() for word in re.split(r"[\W_]+", file) if len(word) > 2}
    texts = [value(header, name) or "" for name in IDENTIFYING]
    identifiers = {part.lower() for text in texts for part in re.split(r"[\W_]+", text) if len(part) > 2}
    place = Path(file)
    names = {squeezed(name) for name in (*place.parent.parts, place.stem)}
    whole = any(squeezed(text) in (squeezed(file) if len(text) > 3 else names) for text in texts if squeezed(text))
    uid = value(header, "SOPInstanceUID")
    return whole or bool(words & identifiers) or (uid is not None and uid in file)


def squeezed(text: str) -> str:
    """Return the letters and digits of a text, in small letters."""
    return re.sub(r"[\W_]+", "", text).lower()
