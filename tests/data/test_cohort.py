"""Tables that list images, as people have them."""

import os

import pandas as pd
import pytest
from PIL import Image

from danil.data import DataError, read_source


@pytest.fixture
def cohort(tmp_path):
    """Write three images and return a function that writes a table beside them."""
    for name in ("a", "b", "c"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{name}.png")

    def write(text, name="cohort.csv", options="", encoding="utf-8", **choices):
        (tmp_path / name).write_bytes(text.encode(encoding))
        return read_source(f"csv:{tmp_path / name}{options}", **choices)

    return write


def test_columns_are_found_under_their_usual_names_and_the_rest_is_metadata(cohort):
    manifest = cohort("Patient,IMAGE,label,age,split\np1,a.png,x,50,train\np1,b.png,y,,val\np2,c.png,x,70,TEST\n")
    assert manifest.table["path"].tolist() == ["a.png", "b.png", "c.png"]
    assert manifest.table["group"].tolist() == ["p1", "p1", "p2"]
    assert manifest.table["split"].tolist() == ["train", "validation", "test"]
    assert manifest.tasks == {"label": ("x", "y")}
    assert manifest.table["age"].isna().tolist() == [False, True, False]
    assert manifest.grouped


def test_options_name_columns_and_several_labels_are_several_tasks(cohort):
    text = "f;dr;dme;who\na;1;0;p\nb;10;;p\nc.png;2;1;q\n"
    manifest = cohort(text, options="?image=f&label=dr,dme&group=who")
    assert manifest.tasks == {"dr": ("1", "2", "10"), "dme": ("0", "1")}
    assert manifest.labels("dme").tolist() == [0, -1, 1]
    assert manifest.table["path"].tolist() == ["a.png", "b.png", "c.png"], "a missing file ending is found"


def test_missing_endings_are_found_with_one_look_into_each_folder(cohort, tmp_path, monkeypatch):
    (tmp_path / "e\u0301").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "e\u0301" / "ä.b.jpeg")
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda place: listed.append(str(place)) or listdir(place))
    rows = "".join(
        f"{name},x\n" for name in ("a", "e\u0301/ä.b", "gone", "no/folder", "e\u0301/ä", *map(str, range(50)))
    )
    manifest = cohort(f"image,label\n{rows}", options="?missing=keep")
    assert manifest.table["path"].tolist()[:5] == ["a.png", "e\u0301/ä.b.jpeg", "gone", "no/folder", "e\u0301/ä"]
    assert listed == [str(tmp_path), str(tmp_path / "e\u0301"), str(tmp_path / "no")]


def test_what_was_taken_for_what_is_said(cohort, caplog):
    caplog.set_level("INFO", "danil")
    manifest = cohort("Image ID,dx,Patient ID,part,sex\na.png,x,p1,train,f\nb.png,y,p1,val,m\n")
    assert manifest.table["group"].tolist() == ["p1", "p1"]
    assert "image = Image ID, label = dx, group = Patient ID, split = part" in caplog.messages[0]
    cohort("path\na.png\n", labelled=False)
    assert "image = path, label = none, group = none, split = none" in caplog.messages[1]


def test_groups_and_parts_may_be_refused(cohort):
    text = "image,label,patient,split\na.png,x,p1,train\nb.png,y,p1,7\n"
    manifest = cohort(text, options="?group=none&split=none")
    assert not manifest.grouped
    assert manifest.table["group"].tolist() == ["a.png", "b.png"]
    assert manifest.table["split"].isna().all()
    assert manifest.table["patient"].tolist() == ["p1", "p1"], "a column that is not used is metadata"


def test_empty_groups_among_others_are_told(cohort):
    with pytest.warns(UserWarning, match=r"`patient` is empty in 2 rows \(lines 3, 5\); each .*\?group=none"):
        manifest = cohort("image,label,patient\na.png,x,p\nb.png,y,\n\nc.png,y,\n")
    assert manifest.table["group"].tolist() == ["p", "b.png", "c.png"]
    assert not cohort("image,label,patient\na.png,x,\nb.png,y,\n").grouped
    with pytest.warns(UserWarning, match=r"`patient` is empty in 2 rows"):
        marked = cohort("image,label,patient\na.png,x,p\nb.png,y,NA\nc.png,y,NA\n")
    assert marked.table["group"].tolist() == ["p", "b.png", "c.png"]


def test_classes_that_differ_only_in_letter_case_are_told(cohort):
    text = "image,label\na.png,Mel\nb.png,mel\nc.png,nv\n"
    with pytest.warns(
        UserWarning, match=r"2 classes \(`Mel`, `mel`\) of `label` differ only in letter case.*one spelling"
    ):
        assert cohort(text).classes == ("Mel", "mel", "nv")


@pytest.mark.parametrize("pair", [("0", "0.0"), ("1", "1."), ("1", "01"), ("2.5", "2.50"), ("-1", "-1.0")])
def test_classes_that_are_one_number_are_told(cohort, pair):
    with pytest.warns(UserWarning, match=r"how a number is written.*one spelling"):
        cohort(f"image,label\na.png,{pair[0]}\nb.png,{pair[1]}\nc.png,10\n")


def test_the_order_of_classes_can_be_given(cohort):
    text = "image,label\na.png,severe\nb.png,mild\nc.png,none\n"
    assert cohort(text).classes == ("mild", "none", "severe")
    assert cohort(text, options="?classes=none,mild,severe").classes == ("none", "mild", "severe")
    with pytest.raises(DataError, match=r"`none`.*none of mild, severe"):
        cohort(text, options="?classes=mild,severe")


@pytest.mark.parametrize("text", ["NA", "N/A", "nan", "NaN", "null", "None", "#N/A", "<NA>"])
def test_a_label_that_says_there_is_none_is_refused_with_its_lines_and_both_ways_out(cohort, text):
    table = f"image,label\na.png,{text}\n\nb.png,y\nc.png,{text}\n"
    with pytest.raises(DataError, match=r"2 rows \(lines 2, 5\)") as told:
        cohort(table)
    assert f"`?unknown={text}`" in str(told.value)
    assert "`?unknown=`" in str(told.value)
    left = cohort(table, options=f"?unknown={text.replace('#', '%23')}")
    assert (left.classes, left.table["path"].tolist()) == (("y",), ["b.png"])
    assert set(cohort(table, options="?unknown=").classes) == {text, "y"}
    assert set(cohort(table, options=f"?classes={text},y").classes) == {text, "y"}
    assert len(cohort(table, labelled=False)) == 3


def test_several_unknown_labels_are_named_together_and_others_still_told(cohort):
    table = "image,label\na.png,NA\nb.png,None\nc.png,none\n"
    with pytest.raises(DataError, match=r"\?unknown=NA,None`"):
        cohort(table)
    with pytest.raises(DataError, match=r"holds `None` in 1 row \(line 3\)"):
        cohort(table, options="?unknown=NA")
    assert cohort(table, options="?unknown=NA, None").classes == ("none",)


def test_an_unknown_label_of_a_further_task_is_masked(cohort):
    table = "image,DR,DME\na.png,0,NA\nb.png,1,0\nc.png,NA,1\n"
    manifest = cohort(table, options="?label=DR,DME&unknown=NA")
    assert manifest.tasks == {"DR": ("0", "1"), "DME": ("0",)}
    assert (manifest.labels().tolist(), manifest.labels("DME").tolist()) == ([0, 1], [-1, 0])


def test_na_is_text_like_any_other_beside_the_labels(cohort):
    assert cohort("image,label,site\na.png,x,NA\nb.png,y,None\n").table["site"].tolist() == ["NA", "None"]


def test_a_byte_order_mark_tabs_blanks_and_windows_line_ends_do_no_harm(cohort):
    manifest = cohort("\ufeffimage\t label \r\na.png\t x \r\n\r\nb.png\ty\t\t\r\n", name="cohort.tsv")
    assert manifest.table["label"].tolist() == ["x", "y"]


def test_other_encodings_are_read_when_named(cohort):
    text = "image,label\na.png,gutartig\nb.png,bösartig\n"
    assert cohort(text, options="?encoding=latin-1", encoding="latin-1").classes == ("bösartig", "gutartig")
    with pytest.raises(DataError, match=r"is not UTF-8 text \(byte 34\).*encoding=latin-1"):
        cohort(text, encoding="latin-1")
    with pytest.raises(DataError, match="`encoding` is `klingon`"):
        cohort(text, options="?encoding=klingon")


def test_labels_may_be_missing_where_they_are_not_needed(cohort):
    assert cohort("image,label\na.png,x\nb.png,\nc.png,y\n", labelled=False).labels().tolist() == [0, -1, 1]
    assert cohort("image\na.png\n", labelled=False).labels().tolist() == [-1]


def test_images_may_lie_elsewhere(cohort, tmp_path):
    folder = tmp_path / "else where"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(folder / "d.png")
    assert cohort("image,label\nd.png,x\n", options="?root=else%20where").root == folder
    manifest = cohort(f"image,label\n{folder}/d.png,x\n{tmp_path}/a.png,y\n")
    assert manifest.root == tmp_path
    assert manifest.table["path"].tolist() == ["else where/d.png", "a.png"]
    manifest.store.read("else where/d.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["is empty"]),
        ("\ufeff", ["is empty"]),
        ("image,label\n", ["no rows"]),
        ("image,label\n,\n\n", ["no rows"]),
        ("file,kind\na.png,x\n", ["no column for `label`", "file, kind", "?label=COLUMN"]),
        ("name,label\na.png,x\n", ["no column for `image`", "name, label"]),
        ("image,label\na.png,x\nb.png,\nc.png,\n", ["`label` is empty in 2 rows (lines 3, 4)"]),
        ("image,label\n,x\n", ["`image` is empty in 1 row (line 2)"]),
        ('\n\nimage,label\n\n"a\n",x\n,y\n', ["`image` is empty in 1 row (line 7)"]),
        (",\n,\n", ["no rows"]),
        ("image,label\na.png,x\nno.png,x\n", ["1 file (`no.png`) that does not exist below"]),
        ("image,label\na.png,x\nno.png,x\nnor.png,y\n", ["2 files", "`no.png`, `nor.png`", "do not exist"]),
        ("image,label\na.png,x\na.png,y\n", ["1 image (`a.png`) more than once"]),
        ("image,label\na,x\na.png,y\n", ["1 image (`a.png`) more than once"]),
        ("image,label\n../a.png,x\n", ["`../a.png`", "outside"]),
        ("image,label\na.png,x\0\n", ["NUL"]),
        ("image,label,label\na.png,x,y\n", ["`label` twice"]),
        ("image,label\na.png,x,y\n", ["line 2 has 3 cells"]),
        ('image,label\n"a.png,x\n', ["no well-formed CSV"]),
        ("image,label,split\na.png,x,7\n", ["`7`", "split"]),
        ("image,group\na.png,x\n", ["no column for `label`"]),
    ],
)
def test_a_bad_table_is_refused_in_words(cohort, text, words):
    with pytest.raises(DataError) as caught:
        cohort(text)
    assert all(word in str(caught.value) for word in [*words, "cohort.csv"]), caught.value


@pytest.mark.parametrize("option", ["image=nope", "label=nope", "group=nope", "split=nope", "label=label,nope"])
def test_a_named_column_that_is_not_there_is_refused_with_those_that_are(cohort, option):
    with pytest.raises(DataError, match=r"no column `nope`. Its columns: image, label"):
        cohort("image,label\na.png,x\n", options=f"?{option}")


def test_a_label_column_cannot_take_a_name_of_ours(cohort):
    with pytest.raises(DataError, match="cannot be called `group`"):
        cohort("image,group\na.png,x\n", options="?label=group")


def test_utf16_text_is_recognised_as_such(cohort):
    for encoding in ("utf-16", "utf-32"):
        with pytest.raises(DataError, match=rf"is {encoding.upper()} text.*\?encoding={encoding}`"):
            cohort("image,label\na.png,x\n", encoding=encoding)
    with pytest.raises(DataError, match=r"damaged or UTF-16.*\?encoding=utf-16`"):
        cohort("image,label\na.png,x\n", encoding="utf-16-le")
    with pytest.raises(DataError, match=r"is UTF-16 text"):
        cohort("\ufeff画像,名\n".replace("\n", "ਊ"), encoding="utf-16-be")
    assert len(cohort("image,label\na.png,x\n", encoding="utf-16", options="?encoding=utf-16")) == 1


def test_parquet_reads_like_csv(cohort, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"image": ["a.png", "b.png", "c.png"], "label": [0.0, None, 1.0], "age": [1.5, 2.0, None]})
    frame.to_parquet(tmp_path / "cohort.parquet")
    manifest = read_source(str(tmp_path / "cohort.parquet"), labelled=False)
    assert manifest.classes == ("0", "1")
    assert manifest.labels().tolist() == [0, -1, 1]
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(DataError, match=r"bad\.parquet"):
        read_source(str(tmp_path / "bad.parquet"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    def absent(path):
        raise ImportError("no pyarrow")

    monkeypatch.setattr(pd, "read_parquet", absent)
    (tmp_path / "cohort.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"danil-torch\[parquet\]"):
        read_source(str(tmp_path / "cohort.parquet"))


def test_a_class_named_twice_is_refused(cohort):
    with pytest.raises(DataError, match="names a class twice"):
        cohort("image,label\na.png,x\nb.png,y\n", options="?classes=x,y,x")


def test_labels_of_very_many_digits_are_text_like_any_other(cohort):
    long = "1" * 5000
    assert cohort(f"image,label\na.png,{long}\nb.png,2\n").classes == ("2", long)


def test_odd_parquet_columns_are_read_or_refused(tmp_path, cohort):
    pytest.importorskip("pyarrow")
    cohort("image,label\na.png,x\n")
    table = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["x", "y"], "large": [1e300, 2.0]})
    table.to_parquet(tmp_path / "t.parquet")
    assert read_source(f"csv:{tmp_path / 't.parquet'}").table["large"].tolist() == ["1e+300", "2.0"]
    table.assign(**{"label ": ["x", "y"]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="column `label` twice"):
        read_source(f"csv:{tmp_path / 't.parquet'}")
