"""A grid as text: Markdown, LaTeX or CSV, and its finding in plain words."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from danil.benchmark.grid import BASE, Entry, Grid, Key
from danil.statistics.bootstrap import LEVEL
from danil.statistics.comparison import signed
from danil.statistics.two_level import ENOUGH, Difference

Format = Literal["markdown", "latex", "csv"]
NOTHING = "–"
PAPER_NUMBERS = {("macro_f1", False): "3", ("macro_f1", True): "1", ("accuracy", False): "4", ("accuracy", True): "2"}
"""(metric, Base and DANIL alone) → the table's number in the paper."""
ABLATION = (BASE, "danil")
TOO_FEW = f"fewer than {ENOUGH} seeds"
NO_INTERVAL = "no interval"
VERDICTS = ("better", "worse", "no difference shown", NO_INTERVAL, TOO_FEW)


@dataclass(frozen=True)
class Table:
    """Hold suite, short name, caption, sentences, column names and rows of text; the first `names` columns are names.

    `differences` are the numbers behind the rows of a table of differences: ours and, where it prints one, the paper's.
    """

    suite: str
    name: str
    caption: str
    sentences: tuple[str, ...]
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int
    differences: tuple[tuple[Difference, float | None], ...] = ()


def rendered(grids: Sequence[Grid], form: Format = "markdown") -> str:
    """Return all tables of the grids as text."""
    writer = {"markdown": markdown, "latex": latex, "csv": comma_separated}[form]
    return "\n".join(writer(table) for grid in grids for table in tables_of(grid))


def tables_of(grid: Grid) -> list[Table]:
    """Return the paper's two tables of this metric (ablation, all methods) and the differences behind the verdicts."""
    methods = grid.names(2)
    chosen = [[name for name in methods if name in ABLATION], methods]
    sets = [names for names in chosen if len(names) > 1 or names == methods]
    if len(sets) == 2 and sets[0] == sets[1]:
        sets = sets[:1]
    return [*(values(grid, names) for names in sets), *([differences(grid)] if grid.compared() else [])]


def values(grid: Grid, methods: Sequence[str]) -> Table:
    """Return `paper / ours [interval], seeds` by method and backbone."""
    backbones = grid.names(1)
    rows: list[tuple[str, ...]] = []
    for dataset in grid.names(0):
        title = grid.titles["dataset", dataset]
        rows.append((title, "constant classifier", *[number(grid.constants[dataset])] * len(backbones)))
        for method in methods:
            entries = [grid.entries.get((dataset, backbone, method)) for backbone in backbones]
            if any(entries):
                rows.append((title, grid.titles["method", method], *(cell(entry) for entry in entries)))
    ablation = set(methods) == set(ABLATION)
    printed = PAPER_NUMBERS.get((grid.metric, ablation))
    name = f"Table {printed} of the paper, {metric_name(grid)}" if printed else metric_name(grid).capitalize()
    return Table(
        grid.title,
        name,
        f"{name}: paper / ours [95 % interval], seeds. {grid.title} ({grid.part} part)",
        (finding(grid, methods),),
        ("data", "method", *(grid.titles["backbone", name] for name in backbones)),
        tuple(rows),
        names=2,
    )


def differences(grid: Grid) -> Table:
    """Return every paired difference to Base with its verdict."""
    rows: list[tuple[str, ...]] = []
    numbers: list[tuple[Difference, float | None]] = []
    for (dataset, backbone, method), entry in grid.compared().items():
        found = entry.to_base
        assert found is not None
        numbers.append((found, entry.paper_to_base))
        names = (("dataset", dataset), ("backbone", backbone), ("method", method))
        paper = NOTHING if entry.paper_to_base is None else signed(entry.paper_to_base)
        p_values = (probability(found.p), probability(found.p_holm))
        rows.append((*(grid.titles[name] for name in names), paper, interval(found), *p_values, explained(entry)))
    name = f"Differences to Base in {metric_name(grid)}"
    caption = f"{name}, same seeds and images. {grid.title} ({grid.part} part)"
    head = ("data", "backbone", "method", "paper", "ours [95 % interval]", "p", "p (Holm)", "verdict")
    return Table(grid.title, name, caption, (), head, tuple(rows), names=3, differences=tuple(numbers))


def finding(grid: Grid, methods: Sequence[str]) -> str:
    """Return a sentence: which methods beat Base, are beaten, or neither, each with the cells this holds in."""
    found = {key: entry for key, entry in grid.compared().items() if key[2] in methods}
    if not found:
        return "No method has a seed in common with Base, so nothing is compared."
    count = len(grid.compared())
    told = [text for word in VERDICTS if (text := listed(grid, word, found))]
    printed = {(*key[:2], entry.row): entry.paper_to_base for key, entry in found.items()}  # once, however many forms
    claims = [claim for claim in printed.values() if claim is not None]
    higher = sum(claim > 0 for claim in claims)
    paper = f"The paper prints a higher number than Base's in {higher} of its {len(claims)} cells." if claims else ""
    return (
        f"Against Base on the same images and seeds ({metric_name(grid)}, Holm over {count} "
        f"difference{'' if count == 1 else 's'}): {'; '.join(told)}. {paper}"
    ).strip()


def listed(grid: Grid, word: str, found: Mapping[Key, Entry]) -> str:
    """Return a verdict and the methods that have it, with the share of their cells; nothing where none has it."""
    cells = Counter(key[2] for key in found)
    held = Counter(key[2] for key, entry in found.items() if verdict(entry) == word)
    named = [f"{grid.titles['method', name]} ({count} of {cells[name]})" for name, count in held.items()]
    return f"{word}: {', '.join(named)}" if named else ""


def verdict(entry: Entry) -> str:
    """Return the verdict on an entry's difference to Base; every metric made from records is better when higher."""
    found = entry.to_base
    assert found is not None
    if len(entry.shared) < ENOUGH:
        return TOO_FEW
    if math.isnan(found.low):
        return NO_INTERVAL
    if not found.p_holm < 1 - LEVEL:
        return "no difference shown"
    return "better" if found.value > 0 else "worse"


def explained(entry: Entry) -> str:
    """Return the verdict, and why there is none where the interval, which is not corrected, excludes 0."""
    found, word = entry.to_base, verdict(entry)
    assert found is not None
    if word == "no difference shown" and (found.low > 0 or found.high < 0):
        return f"{word} (p = {1 - LEVEL:.2g} or more after Holm)"
    return word


def cell(entry: Entry | None) -> str:
    """Return `paper / ours [interval], n seeds`."""
    if entry is None:
        return NOTHING
    paper = NOTHING if entry.paper is None else number(entry.paper)
    seeds = f"{len(entry.seeds)} seed{'' if len(entry.seeds) == 1 else 's'}"
    mean = entry.mean
    span = "" if math.isnan(mean.low) else f" [{number(mean.low)}, {number(mean.high)}]"
    return f"{paper} / {number(mean.value)}{span}, {seeds}"


def interval(found: Difference) -> str:
    """Return a difference with its interval."""
    return signed(found.value) + ("" if math.isnan(found.low) else f" [{signed(found.low)}, {signed(found.high)}]")


def number(value: float) -> str:
    """Return three decimals, an en dash for NaN."""
    return NOTHING if math.isnan(value) else f"{value:.3f}"


def probability(value: float) -> str:
    """Return a p-value."""
    return NOTHING if math.isnan(value) else f"{value:.2g}"


def metric_name(grid: Grid) -> str:
    """Return the metric's name for people."""
    return grid.metric.replace("_f1", "-F1").replace("mcc", "MCC").replace("_", " ")


def markdown(table: Table) -> str:
    """Return a table as Markdown, its sentences below it."""
    lines = [f"**{table.caption}**", "", row(table.head), "|" + "---|" * len(table.head), *map(row, table.rows), ""]
    return "\n".join([*lines, *(f"{sentence}\n" for sentence in table.sentences)])


def row(cells: Sequence[str]) -> str:
    """Return a line of a Markdown table."""
    return "| " + " | ".join(text.replace("|", "\\|") for text in cells) + " |"


def latex(table: Table) -> str:
    """Return a table as LaTeX (package `booktabs`)."""
    body = [" & ".join(map(escaped, cells)) + r" \\" for cells in table.rows]
    head = " & ".join(map(escaped, table.head)) + r" \\"
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{escaped(' '.join([table.caption + '.', *table.sentences]))}}}",
            rf"\begin{{tabular}}{{{'l' * len(table.head)}}}",
            r"\toprule", head, r"\midrule", *body, r"\bottomrule",
            r"\end{tabular}", r"\end{table}", "",
        ]
    )  # fmt: skip


def escaped(text: str) -> str:
    """Return text with LaTeX's special characters escaped."""
    for mark in "\\&%$#_{}":
        text = text.replace(mark, r"\textbackslash " if mark == "\\" else f"\\{mark}")
    return text.replace("−", "$-$").replace("–", "--").replace("Δ", r"$\Delta$").replace("×", r"$\times$")


def comma_separated(table: Table) -> str:
    """Return a table as CSV after a line with its caption."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([table.caption])
    writer.writerow(table.head)
    writer.writerows(table.rows)
    return stream.getvalue()
