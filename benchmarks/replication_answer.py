"""What is shown of every method against Base, for docs/replication.md and the README."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from replication_chance import named

from danil.benchmark.grid import BASE, Entry, Grid, Key
from danil.benchmark.records import Record
from danil.benchmark.suite import combinations, read_suite
from danil.benchmark.tables import VERDICTS, explained, finding, interval, metric_name, number, verdict
from danil.benchmark.tables import row as table_row
from danil.data.manifest import plural
from danil.statistics.comparison import signed
from danil.statistics.two_level import ENOUGH

SUITES = Path(__file__).parents[1] / "suites"


@dataclass(frozen=True)
class Compared:
    """Hold a suite with differences to Base: its grids in macro-F1 and accuracy, its records, how far it is."""

    grids: tuple[Grid, Grid]
    records: Sequence[Record]
    asked: int

    @property
    def share(self) -> float:
        """Return the share of its trainings that are finished."""
        return len(self.records) / self.asked

    @property
    def heading(self) -> str:
        """Return its title and state."""
        grid = self.grids[0]
        return f"**{grid.title}** ({grid.part} part; {len(self.records)} of {self.asked} trainings finished)"

    def of_danil(self, grid: Grid) -> dict[Key, Entry]:
        """Return the differences of all forms of DANIL in one of its grids, those of too few seeds left out."""
        known = {record.method[0] for record in self.records if (record.paper or record.method[0]) == "danil"}
        found = grid.compared().items()
        return {key: entry for key, entry in found if key[2] in known and len(entry.shared) >= ENOUGH}


def compared_suites(found: Sequence[Grid], accuracy: Sequence[Grid], records: Sequence[Record]) -> list[Compared]:
    """Return the suites that have a difference to Base, finished and large ones first."""
    suites = [
        Compared(pair, [record for record in records if record.suite == pair[0].suite], trainings(pair[0].suite))
        for pair in zip(found, accuracy, strict=True)
        if pair[0].compared()
    ]
    return sorted(suites, key=lambda suite: (suite.share, suite.asked), reverse=True)


def summary(suites: Sequence[Compared]) -> str:
    """Return in a few lines what is shown of DANIL: over all test parts, then suite by suite."""
    lines: list[str] = [lead(suites), ""]
    for suite in suites:
        told = danil_alone(suite)
        if suite.grids[0].part == "validation":
            told += choices(suite, suites)
        lines += [suite.heading, "", *(f"- {text}" for text in told), ""] if told else []
    return "\n".join(lines).strip()


def lead(suites: Sequence[Compared]) -> str:
    """Return the verdicts on all differences of DANIL on test parts, in macro-F1."""
    tested = [suite for suite in suites if suite.grids[0].part == "test"]
    found = Counter(verdict(entry) for suite in tested for entry in suite.of_danil(suite.grids[0]).values())
    total, better = sum(found.values()), found["better"]
    if not total:
        return f"No form of DANIL has {ENOUGH} seeds in common with Base yet."
    told = f"{better or 'any'} of {plural(total, 'comparison')}"
    begin = "DANIL is better than Base" if better else "DANIL is not shown to be better than Base"
    rest = f", worse in {found['worse']}" if found["worse"] else ""
    return f"**{begin} in {told}{rest}** (macro-F1 on test parts, all its forms, Holm-corrected within each suite)."


def every_method(suites: Sequence[Compared]) -> str:
    """Return a table of every difference to Base, and a sentence for each metric, by suite."""
    head = ("data", "method", "seeds", "macro-F1 less Base's", "paper's", "accuracy less Base's", "paper's")
    lines: list[str] = []
    for suite in suites:
        grid, other = suite.grids
        compared = grid.compared()
        lines += [suite.heading, "", table_row(head), "|---" * len(head) + "|"]
        lines += [table_row(cells(grid, other, key)) for key in compared]
        methods = list(dict.fromkeys(key[2] for key in compared))
        lines += ["", finding(grid, methods), "", finding(other, methods), ""]
        if suite.share < 1:
            lines += ["Holm counts the differences there are: verdicts may change with the trainings to come.", ""]
        again = named(suite.records)
        lines += [again, ""] if again else []
    return "\n".join(lines).strip() or "No method has been trained with a seed in common with Base yet."


def danil_alone(suite: Compared) -> list[str]:
    """Return, metric by metric, the verdicts on all forms of DANIL and what their intervals leave possible."""
    lines: list[str] = []
    for grid in suite.grids:
        found = suite.of_danil(grid)
        entries = found.values()
        spans = [entry.to_base for entry in entries if entry.to_base is not None and not math.isnan(entry.to_base.low)]
        counts = Counter(map(verdict, entries))
        told = ", ".join(f"{word} in {counts[word]}" for word in VERDICTS if counts[word] or word in VERDICTS[:2])
        reach = reached([one.low for one in spans], [one.high for one in spans]) if spans else "–"
        printed = [entry.paper_to_base for entry in entries if entry.paper_to_base is not None]
        paper = f"; the paper prints {reached(printed, printed)}" if printed else ""
        if found:
            count = f"{plural(len({key[2] for key in found}), 'form')} of it, {plural(len(found), 'difference')}"
            reaching = "Together the intervals reach" if len(found) > 1 else "Its interval reaches"
            lines.append(
                f"**DANIL** less Base in {metric_name(grid)}, {count}: {told}. {reaching} from {reach}{paper}."
            )
    return lines


def reached(lows: Sequence[float], highs: Sequence[float]) -> str:
    """Return from where to where values reach, as one where that is the same."""
    low, high = signed(min(lows)), signed(max(highs))
    return low if low == high else f"{low} to {high}"


def choices(tried: Compared, suites: Sequence[Compared]) -> list[str]:
    """Return which method has the highest mean on the validation part and what it does on a test part; nothing before.

    A place is a data set with a backbone; each has its own choice.
    """
    grid = tried.grids[0]
    if tried.share < 1:
        return ["No setting is chosen before all of them are finished."]
    texts: list[str] = []
    for place in dict.fromkeys(key[:2] for key in grid.entries):
        means = {key[2]: entry.mean.value for key, entry in grid.entries.items() if key[:2] == place}
        best = max(means, key=means.__getitem__)
        where = f"{grid.titles['dataset', place[0]]}, {grid.titles['backbone', place[1]]}"
        told = f"Highest of {len(means)} means of {metric_name(grid)} on the {grid.part} part, {where}: "
        told += f"**{grid.titles['method', best]}**, {number(means[best])}"
        if best == BASE:
            texts.append(f"{told}. No setting of DANIL is above it, so that there is none to confirm.")
            continue
        told += f" (Base {number(means[BASE])}), too high by being selected."
        texts.append(f"{told} {confirmation((*place, best), tried, suites)}")
    return texts


def confirmation(chosen: Key, tried: Compared, suites: Sequence[Compared]) -> str:
    """Return what the chosen objective does against Base on test parts of the same data set and backbone."""
    objective = next(one.recipe["objective"] for one in tried.records if (one.dataset[0], one.method[0]) == chosen[::2])
    found: list[str] = []
    for suite in suites:
        alike = {one.method[0] for one in suite.records if one.recipe["objective"] == objective}
        for key in suite.grids[0].compared():
            if suite.grids[0].part == "test" and key[:2] == chosen[:2] and key[2] in alike:
                told = (
                    f"{metric_name(grid)} less Base's {interval(entry.to_base)}, {explained(entry)}"
                    for grid in suite.grids
                    if (entry := grid.entries[key]).to_base is not None
                )
                seeds = plural(len(suite.grids[0].entries[key].shared), "seed")
                found.append(f"On the test part ({suite.grids[0].title}, {seeds}): {'; '.join(told)}.")
    return " ".join(found) or "Not confirmed on a test part yet."


def trainings(name: str) -> int:
    """Return how many trainings a suite asks for."""
    suites = (read_suite(path) for path in SUITES.glob("*.toml"))
    return next(len(list(combinations(suite))) for suite in suites if suite.name == name)


def cells(found: Grid, accuracy: Grid, key: Key) -> list[str]:
    """Return the difference of one method to Base in both metrics, with the verdict and the paper's difference."""
    texts = [found.titles["dataset", key[0]], found.titles["method", key[2]], str(len(found.entries[key].shared))]
    for grid in (found, accuracy):
        entry = grid.entries[key]
        assert entry.to_base is not None
        texts.append(f"{interval(entry.to_base)}, {explained(entry)}")
        texts.append(paper(entry))
    return texts


def paper(entry: Entry) -> str:
    """Return the difference that the paper prints, and, given seeds enough, whether our interval holds it."""
    found, claim = entry.to_base, entry.paper_to_base
    if found is None or claim is None:
        return "–"
    within = f" ({'inside' if found.low <= claim <= found.high else 'outside'} ours)"
    return signed(claim) + (within if len(entry.shared) >= ENOUGH else "")
