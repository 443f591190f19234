"""What is shown of every method against Base, for docs/replication.md and the README."""

import math
from collections import Counter
from collections.abc import Sequence
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


def answer(found: Sequence[Grid], accuracy: Sequence[Grid], records: Sequence[Record]) -> str:
    """Return what is shown of DANIL, a table of every difference to Base, and a sentence for each metric, by suite."""
    head = ("data", "method", "seeds", "macro-F1 less Base's", "paper's", "accuracy less Base's", "paper's")
    lines: list[str] = []
    done = Counter(record.suite for record in records)
    asked_of = {grid.suite: trainings(grid.suite) for grid in found}
    order = {name: (done[name] / asked, asked) for name, asked in asked_of.items()}
    pairs = sorted(zip(found, accuracy, strict=True), key=lambda pair: order[pair[0].suite], reverse=True)
    for grid, other in pairs:
        compared = grid.compared()
        if compared:
            asked = asked_of[grid.suite]
            open_end = (
                ""
                if done[grid.suite] == asked
                else "; Holm counts the differences there are, so that verdicts may change with the others"
            )
            state = f"{grid.part} part; {done[grid.suite]} of {asked} trainings finished{open_end}"
            mine = [record for record in records if record.suite == grid.suite]
            lines += [f"**{grid.title}** ({state})", "", *danil_alone((grid, other), mine)]
            lines += [table_row(head), "|---" * len(head) + "|"]
            lines += [table_row(cells(grid, other, key)) for key in compared]
            methods = list(dict.fromkeys(key[2] for key in compared))
            lines += ["", finding(grid, methods), "", finding(other, methods), ""]
            again = named(mine)
            lines += [again, ""] if again else []
            if grid.part == "validation":
                lines += [choice(grid, done[grid.suite] == asked), ""]
    return "\n".join(lines).strip() or "No method has been trained with a seed in common with Base yet."


def danil_alone(pair: Sequence[Grid], records: Sequence[Record]) -> list[str]:
    """Return, metric by metric, the verdicts on all forms of DANIL and what their intervals leave possible."""
    known = {record.method[0] for record in records if (record.paper or record.method[0]) == "danil"}
    lines: list[str] = []
    for grid in pair:
        forms = {key[2] for key in grid.compared()} & known
        found = [entry for key, entry in grid.compared().items() if key[2] in forms and len(entry.shared) >= ENOUGH]
        spans = [entry.to_base for entry in found if entry.to_base is not None and not math.isnan(entry.to_base.low)]
        counts = Counter(map(verdict, found))
        told = ", ".join(f"{word} in {counts[word]}" for word in VERDICTS if counts[word] or word in VERDICTS[:2])
        reach = reached([one.low for one in spans], [one.high for one in spans]) if spans else "–"
        printed = [entry.paper_to_base for entry in found if entry.paper_to_base is not None]
        paper = f"; the paper prints {reached(printed, printed)}" if printed else ""
        if found:
            count = f"{plural(len(forms), 'form')} of it, {plural(len(found), 'difference')}"
            reaching = "Together the intervals reach" if len(found) > 1 else "Its interval reaches"
            lines.append(
                f"- **DANIL** less Base in {metric_name(grid)}, {count}: {told}. {reaching} from {reach}{paper}."
            )
    return [*lines, ""] if lines else []


def reached(lows: Sequence[float], highs: Sequence[float]) -> str:
    """Return from where to where values reach, as one where that is the same."""
    low, high = signed(min(lows)), signed(max(highs))
    return low if low == high else f"{low} to {high}"


def choice(grid: Grid, finished: bool) -> str:
    """Return which method has the highest mean on the validation part, for a test part to confirm; nothing before."""
    if not finished:
        return "No setting is chosen before all of them are finished."
    texts: list[str] = []
    for place in dict.fromkeys(key[:2] for key in grid.entries):
        means = {key[2]: entry.mean.value for key, entry in grid.entries.items() if key[:2] == place}
        best = max(means, key=means.__getitem__)
        where = f"{grid.titles['dataset', place[0]]}, {grid.titles['backbone', place[1]]}"
        against = "nothing to confirm" if best == BASE else f"Base {number(means[BASE])}"
        texts.append(f"{where}: {grid.titles['method', best]}, {number(means[best])} ({against})")
    return (
        f"**Chosen by the highest mean {metric_name(grid)} on the {grid.part} part**: {'; '.join(texts)}. The highest "
        f"of {len(grid.names(2))} means is too high by selection; what it is worth the test part alone says."
    )


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
