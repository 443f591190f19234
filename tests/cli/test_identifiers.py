"""No name, number or birth date of a patient leaves the DICOM files, from training to prediction.

One exception, which docs/untrusted.md states: `danil predict` writes the paths that it was given, whatever they hold.
"""

import pytest

from cli.tiny import TINY
from danil.data.fake import write_fake

pydicom = pytest.importorskip("pydicom")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*names of files or folders hold")]

SECRETS = (b"MRN-0", b"Doe", b"Jane", b"19500101", b"1.2.826.0.1.3680043.8.498")


@pytest.mark.parametrize("renamed", [False, True], ids=["neutral names", "names of files that hold the patient's ID"])
def test_no_output_of_any_verb_holds_an_identifier(danil, tmp_path, renamed):
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "out"
    write_fake("dicom", data, images=24)
    for file in sorted(data.rglob("*.dcm")) if renamed else ():
        dataset = pydicom.dcmread(file)
        file.rename(file.with_name(f"{dataset.PatientID}_{file.stem}.dcm"))
    answers = [danil("train", f"dicom:{data}", *TINY, "--out", run)]
    answers += [
        danil("evaluate", run, "--robustness", "--limit", "4"),
        danil("evaluate", run, "--data", f"dicom:{data}"),
        danil("explain", run, "--count", "2", "--out", out / "maps"),
        danil("predict", run, data, "--out", (tmp_path if renamed else out) / "predictions.csv"),
        danil("audit", f"dicom:{data}", "--out", out / "audit.html"),
        danil("split", f"dicom:{data}", "--out", out / "split.csv"),
        danil("report", run),
    ]
    assert [answer.code for answer in answers] == [0] * len(answers), [answer.err for answer in answers]
    for secret in SECRETS:
        holders = [
            file for file in [*run.rglob("*"), *out.rglob("*")] if file.is_file() and secret in file.read_bytes()
        ]
        assert not holders, (secret, holders)
        assert not any(secret.decode() in answer.out + answer.err for answer in answers), secret
