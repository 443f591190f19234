import shutil

import pandas as pd
import pytest

from danil.data import DataError, read_source


@pytest.fixture
def cohort(tmp_path):
    """Five images: `b` is a copy of `a`, `d` of `c`; patients are 1, 1, 2, 3, 3 in the order a, c, b, d, e."""
    from PIL import Image

    for number, name in enumerate("ace"):
        Image.new("RGB", (20, 20), (40 * number, 10, 10)).save(tmp_path / f"{name}.png")
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    shutil.copy(tmp_path / "c.png", tmp_path / "d.png")
    rows = {"image": [f"{name}.png" for name in "acbde"], "label": list("xyxyx"), "owner": list("11233")}
    pd.DataFrame(rows).to_csv(tmp_path / "table.csv", index=False)
    return f"csv:{tmp_path}/table.csv?image=image&label=label"


def test_identical_files_are_one_group_and_others_stay_alone(cohort):
    table = read_source(f"{cohort}&groups=identical").table.set_index("path")["group"]
    assert table["a.png"] == table["b.png"]
    assert table["c.png"] == table["d.png"]
    assert table.nunique() == 3


def test_groups_that_share_a_copy_become_one(cohort):
    manifest = read_source(f"{cohort}&group=owner&groups=identical")
    assert manifest.grouped
    assert manifest.table["group"].nunique() == 1  # a–c patient 1, b copies a, d copies c, e is d's patient


def test_another_word_for_groups_is_refused(cohort):
    with pytest.raises(DataError, match="give `identical`"):
        read_source(f"{cohort}&groups=similar")


def test_aptos_has_123_groups_of_identical_images(shared):
    manifest = read_source(f"aptos2019:{shared}/data/aptos2019?groups=identical")
    known = pd.read_csv(shared / "data/aptos2019/duplicate_groups.csv")
    expected = {frozenset(codes) for codes in known.groupby("group")["id_code"].apply(list)}
    names = manifest.table.assign(code=manifest.table["path"].str.extract(r"([0-9a-f]+)\.\w+$")[0])
    found = {frozenset(codes) for codes in names.groupby("group")["code"].apply(list) if len(codes) > 1}
    assert found == expected
