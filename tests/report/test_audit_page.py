"""The page of an audit."""

import re

import pytest
from PIL import Image

from danil.data import audit_data, read_source
from danil.report import audit_page, write_audit_report
from data.pictures import TWINS, texture


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A table of pictures with a conflicting copy across the split, a near one, a broken file and a divided group."""
    folder = tmp_path_factory.mktemp("planted")
    for place in range(12):
        texture(place).save(folder / f"{place}.png")
    texture(0).save(folder / "11.png")
    TWINS["halved"](texture(1)).save(folder / "9.png")
    (folder / "4.png").write_bytes(b"")
    rows = [f"{n}.png,{'ab'[n % 2]},p{n % 10},{'train' if n < 8 else 'test'},<i>{n % 2}</i>" for n in range(12)]
    (folder / "t.csv").write_text("path,label,patient,split,note\n" + "\n".join(rows) + "\n")
    return read_source(str(folder / "t.csv"))


@pytest.fixture(scope="module")
def text(planted, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "audit.html"
    return write_audit_report(audit_data(planted), planted, path).read_text()


def test_the_summary_comes_first_in_plain_words(text):
    assert text.index("findings would make results on these data wrong") < text.index("Images per class and part")
    assert "Every image was examined" in text


def test_the_pictures_of_a_set_stand_side_by_side_with_path_label_and_part(text):
    card = re.search(r"<article>.*?different labels \(label\).*?</article>", text, re.DOTALL)[0]
    pictures = re.findall(r'<img src="data:image/jpeg;base64,[^"]+" alt="([^"]+)"', card)
    assert pictures == ["Image 0.png: label a", "Image 11.png: label b"]
    assert "in test and train" in card


def test_every_section_is_there_and_in_the_contents(text):
    for anchor in ("summary", "classes", "groups", "exact", "near", "files", "columns", "provenance"):
        assert f'<h2 id="{anchor}">' in text
        assert f'<a href="#{anchor}">' in text


def test_unreadable_files_and_divided_groups_are_named(text):
    assert re.search(r"4\.png is empty", text)
    assert re.search(r'<th scope="row">p0</th><td>1</td><td>1</td>', text)


def test_what_the_data_say_is_escaped(text):
    assert "<i>0</i>" not in text


def test_a_clean_set_and_a_table_without_images_have_shorter_pages(planted, tmp_path):
    found = audit_data(planted, metadata_only=True)
    text = write_audit_report(found, planted, tmp_path / "less.html").read_text()
    assert "Only the metadata were examined" in text
    assert 'id="exact"' not in text
    assert 'id="files"' not in text


def test_pictures_stop_at_the_budget(planted, tmp_path, monkeypatch):
    found = audit_data(planted)
    whole = write_audit_report(found, planted, tmp_path / "whole.html").stat().st_size
    monkeypatch.setattr(audit_page, "BUDGET", 1000)
    assert write_audit_report(found, planted, tmp_path / "small.html").stat().st_size < whole
    assert "<img" not in (tmp_path / "small.html").read_text()


def test_large_pictures_are_shown_small(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    noise = Image.effect_noise((1500, 1200), 80).convert("RGB")
    for name in ("a/1", "a/2", "b/1", "b/2"):
        noise.save(tmp_path / f"{name}.jpg")
    manifest = read_source(str(tmp_path))
    assert write_audit_report(audit_data(manifest), manifest, tmp_path / "x.html").stat().st_size < 150_000
