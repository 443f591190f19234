"""Pages: one self-contained HTML file each, from a template, everything from data escaped."""

import math
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from danil import __version__
from danil.data.atomic import write_atomically

NOTHING = "–"


def write_page(path: str | Path, template: str, **context: Any) -> Path:
    """Write one page, atomically; the same inputs give the same bytes.

    `template` extends `base.html.j2`, which wants `title` (text) and `contents` (pairs of anchor and name). Text that
    is not valid Unicode (names of files in another encoding) is shown with backslash escapes.
    """
    return write_atomically(path, page(template, **context).encode("utf-8", "backslashreplace"))


def page(template: str, **context: Any) -> str:
    """Return the HTML of one page."""
    return environment().get_template(template).render(version=__version__, **context)


def environment() -> Environment:
    """Return the templates' environment: autoescape for every file, an undefined name is an error."""
    made = Environment(
        loader=PackageLoader("danil.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for function in (number, percent, interval, signed, coded):
        made.filters[function.__name__] = function  # pyright: ignore[reportArgumentType]
    return made


def known(value: float | None) -> bool:
    """Tell whether there is a number."""
    return value is not None and math.isfinite(value)


def number(value: float | None, digits: int = 3) -> str:
    """Return the number with this many decimals, an en dash where there is none."""
    if value is None or not known(value):
        return NOTHING
    return unsigned_zero(f"{value:.{digits}f}").replace("-", "−")


def unsigned_zero(shown: str) -> str:
    """Return a number as shown, without the sign where it is rounded to zero."""
    return shown.removeprefix("-") if not shown.strip("-0.") else shown


def signed(value: float | None, digits: int = 3) -> str:
    """Return the number with its sign (a true minus)."""
    return f"{value:+.{digits}f}".replace("-", "−") if value is not None and known(value) else NOTHING


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as a percentage."""
    return f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%" if value is not None and known(value) else NOTHING


def interval(low: float | None, high: float | None, digits: int = 3, sign: bool = False) -> str:
    """Return `[low, high]`, never broken over lines, an en dash where a bound is missing."""
    if not (known(low) and known(high)):
        return NOTHING
    show = signed if sign else number
    return f"[{show(low, digits)},\N{NO-BREAK SPACE}{show(high, digits)}]"


def coded(text: str) -> Markup:
    """Return the text, escaped, with what stands between backticks as code."""
    pieces = [
        Markup("<code>{}</code>").format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(text.split("`"))
    ]
    return Markup("").join(pieces) if len(pieces) % 2 else escape(text)
