"""The pages in headless Chromium."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from danil.data import audit_data, read_source
from danil.evaluation import evaluate_run
from danil.report import write_audit_report, write_run_report
from danil.report.page import page
from data.pictures import texture

pytestmark = [pytest.mark.browser, pytest.mark.slow]
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync")
FLAGS += ("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0")
FLAGS += ("--host-resolver-rules=MAP * ~NOTFOUND",)
"""No name is resolved, so that the browser itself cannot call home either."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is not installed; .ci/run must install it")
        pytest.skip("Chromium is not installed")

    def run(file: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        profile = tmp_path_factory.mktemp("profile")
        command = [program, *FLAGS, f"--user-data-dir={profile}", *arguments, file.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)

    return run


@pytest.fixture(scope="module", params=["run", "audit"])
def report(request, make_run, tmp_path_factory):
    if request.param == "run":
        folder = make_run("browser")
        evaluate_run(folder.path, resamples=50)
        return write_run_report(folder.path)
    return audit_report(tmp_path_factory.mktemp("audit"))


def audit_report(folder: Path) -> Path:
    """Return the audit page of ten pairs of copies with different labels, names long and odd, and a broken file."""
    for place in range(10):
        for label in ("a", "b"):
            (folder / "data" / label).mkdir(parents=True, exist_ok=True)
            texture(place).save(folder / "data" / label / f"{'a_long_name_without_a_break_' * 4}{place}&<{label}>.png")
    (folder / "data" / "b" / "broken.png").write_bytes(b"")
    manifest = read_source(str(folder / "data"))
    return write_audit_report(audit_data(manifest), manifest, folder / "audit.html")


def complaints(stderr: str) -> list[str]:
    """Return what the page's console said and every refusal by its content policy."""
    return [line for line in stderr.splitlines() if "CONSOLE" in line or "Content Security Policy" in line]


@pytest.mark.parametrize(
    "fault", ["<img src='http://127.0.0.1:9/x.png'>", "<script>console.error('told')</script>", "<p onclick='x()'>"]
)
def test_the_browser_tells_of_a_request_or_a_script_in_a_page(chromium, tmp_path, fault):
    bad = tmp_path / "bad.html"
    bad.write_text(page("base.html.j2", title="bad", contents=[]).replace("</main>", f"{fault}</main>"))
    assert complaints(chromium(bad, "--dump-dom").stderr)


def test_the_report_has_no_console_message_and_tries_no_request(chromium, report):
    assert complaints(chromium(report, "--dump-dom").stderr) == []


def test_every_picture_is_decoded_and_has_a_text(chromium, report):
    dom = chromium(report, "--dump-dom").stdout
    pictures = re.findall(r"<img [^>]*>", dom)
    assert len(pictures) >= 16
    assert all(re.search(r'alt="[^"]+"', picture) for picture in pictures)
    figures = re.findall(r"<figure>.*?</figure>", dom, flags=re.DOTALL)
    assert figures
    assert all(re.search(r'alt="[^"]+"|role="img" aria-label="[^"]+"', figure) for figure in figures)


@pytest.mark.parametrize("width", [500, 1280])
def test_the_page_is_never_wider_than_the_screen(chromium, report, tmp_path, width):
    probe = tmp_path / "probe.html"
    policy = re.compile(r"<meta http-equiv[^>]*>")
    script = (
        "<script>document.title = document.documentElement.scrollWidth - document.documentElement.clientWidth</script>"
    )
    probe.write_text(policy.sub("", report.read_text()).replace("</body>", f"{script}</body>"))
    dom = chromium(probe, "--dump-dom", f"--window-size={width},900").stdout
    assert re.search(r"<title>(-?\d+)</title>", dom)[1] == "0"


def test_the_page_can_be_printed(chromium, report, tmp_path):
    paper = tmp_path / "report.pdf"
    chromium(report, f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    assert paper.read_bytes().startswith(b"%PDF")
    assert paper.stat().st_size > 20_000
