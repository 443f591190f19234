import html
import re

import numpy as np
import pytest
from PIL import Image

from danil.report.drawing import chart, map_uri, photo_uri
from danil.report.page import coded, interval, number, page, percent, signed


def test_a_title_from_data_is_escaped():
    assert "<title>&lt;script&gt;&amp;</title>" in page("base.html.j2", title="<script>&", contents=[])


def test_a_page_forbids_every_request_and_script():
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page("base.html.j2", title="t", contents=[]))[1]
    assert html.unescape(policy) == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_a_name_that_a_template_forgot_is_an_error():
    with pytest.raises(Exception, match="contents"):
        page("base.html.j2", title="t")


def test_missing_numbers_become_a_dash():
    assert [number(None), number(float("nan")), percent(None), interval(0.1, None)] == ["–"] * 4


def test_numbers_are_rounded_and_signed():
    assert number(0.12345) == "0.123"
    assert signed(-0.5, 1) == "−0.5"
    assert interval(-0.1, 0.25, 2, sign=True) == "[−0.10,\N{NO-BREAK SPACE}+0.25]"
    assert percent(0.5) == "50.0\N{NO-BREAK SPACE}%"


def test_text_between_backticks_becomes_code_and_stays_escaped():
    assert coded("run `danil <x>` & go") == "run <code>danil &lt;x&gt;</code> &amp; go"
    assert coded("one ` alone") == "one ` alone"


def test_a_chart_says_its_alt_text_and_keeps_labels_as_escaped_text():
    made = chart(lambda axes: axes.plot([0, 1], label="<b>$x_1$</b>") and axes.legend(), 'alt "quoted" <i>')
    assert made.svg.startswith('<svg role="img" aria-label="alt &quot;quoted&quot; &lt;i&gt;"')
    assert "&lt;b&gt;$x_1$&lt;/b&gt;" in made.svg


def test_a_chart_is_recoloured_by_the_page_and_holds_no_style_sheet():
    made = chart(lambda axes: axes.plot([0, 1], color="#0b5cad"), "line")
    assert "var(--s1, #0b5cad)" in made.svg
    assert "<style" not in made.svg
    assert "var(--font)" in made.svg


def test_two_charts_share_no_id_and_every_reference_resolves():
    first, second = (chart(lambda axes: axes.plot([0, 1], marker="o"), alt).svg for alt in ("one", "two"))
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (first, second)]
    assert not ids[0] & ids[1]
    for svg, own in zip((first, second), ids, strict=True):
        assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', svg)) <= own


def test_the_same_chart_gives_the_same_bytes():
    assert len({chart(lambda axes: axes.plot([0, 1]), "line").svg for _ in range(2)}) == 1


def decoded(uri: str) -> Image.Image:
    import base64
    import io

    kind, _, data = uri.partition(",")
    assert re.fullmatch(r"data:image/(png|jpeg);base64", kind)
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_a_map_shows_zero_white_and_its_limits_in_opposite_colours():
    values = np.array([[0.0, 2.0, -2.0, 9.0]])
    pixels = np.asarray(decoded(map_uri(values, 2.0)).convert("RGB")).astype(int)[0]
    assert pixels[0].min() > 240
    assert pixels[1][0] > pixels[1][2] + 60
    assert pixels[2][2] > pixels[2][0] + 60
    np.testing.assert_array_equal(pixels[3], pixels[1])


def test_a_photo_keeps_its_colours():
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[..., 0] = 200
    found = np.asarray(decoded(photo_uri(pixels))).astype(int)
    assert np.abs(found - pixels).max() < 12


def test_a_number_has_a_true_minus_and_a_rounded_zero_none():
    assert (number(-0.0004), number(-0.25), number(0.0), number(-3, 0)) == ("0.000", "−0.250", "0.000", "−3")
