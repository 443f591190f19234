"""What the scripts here share: a page with a part that a script writes again."""

from pathlib import Path

from danil.data.atomic import write_atomically


def write_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replace what stands between the two marks, each of which the page holds once, by the text on lines of its own.

    Raises:
        ValueError: the page does not hold both marks once, in this order.
    """
    found = page.read_text(encoding="utf-8")
    before, begin, rest = found.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end or found.count(marks[0]) != 1 or found.count(marks[1]) != 1:
        raise ValueError(f"`{page}` must hold `{marks[0]}` and, after it, `{marks[1]}` once each.")
    write_atomically(page, f"{before}{begin}\n{text}\n{end}{after}")
