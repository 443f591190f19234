"""What `danil explain` writes beside figures: scores against masks, and faithfulness curves."""

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from danil.data.atomic import write_atomically
from danil.explanation.evidence import score_intervals
from danil.explanation.figures import STYLE, check_targets, checked_kind, write_figure
from danil.explanation.localization import SCORES, Document, localization_run
from danil.explanation.map_methods import RESPONSES, TITLES
from danil.explanation.run_scores import CURVES, measured_curves
from danil.runs import RunFolder, kept_memory

NAMES = {**{name: f"|{title}|" for name, title in RESPONSES.items()}, **TITLES, "random": "random ranking"}
SIDES = ("deletion", "insertion")
NETWORKS = {
    "start": "its starting weights",
    "random": "random weights",
    "random_raw": "random weights, BatchNorm as initialised",
}


def write_evidence(
    run: str | Path,
    *,
    methods: Sequence[str] = (),
    data: str | None = None,
    limit: int | None = 128,
    out: str | Path | None = None,
) -> tuple[Document, list[Path]]:
    """Write `evidence.csv` and `evidence.json` of `localization_run`, into `RUN/explanation` or `out`."""
    folder = RunFolder(Path(run)).path / "explanation" if out is None else Path(out)
    check_targets({folder / "evidence.csv": "evidence", folder / "evidence.json": "evidence scores"})
    table, document = localization_run(run, methods=methods, data=data, limit=limit)
    content = json.dumps(document, indent=1, allow_nan=False) + "\n"
    return document, [
        write_atomically(folder / "evidence.csv", table.to_csv(index=False)),
        write_atomically(folder / "evidence.json", content),
    ]


def evidence_text(document: Document) -> str:
    """Return the scores as lines for a terminal: each map's, then trained less each untrained network's."""
    trained = document["networks"]["trained"]
    area = next(iter(trained.values()))
    lines = [
        f"{document['images']} synthetic test images; evidence covers {area['evidence_area']['mean']:.3f} of an image, "
        f"distractors {area['distractor_area']['mean']:.3f}",
        "",
        "".join(f"{text:<27}" for text in ("map", *(name.replace("_", " ") for name in SCORES))).rstrip(),
    ]
    for kind, scores in trained.items():
        lines.append("".join(f"{text:<27}" for text in (NAMES[kind], *(spanned(scores[s]) for s in SCORES))).rstrip())
    for other, maps in document["differences"].items():
        lines += ["", f"trained − {NETWORKS[other]}:"]
        for kind, scores in maps.items():
            cells = (NAMES[kind], *(spanned(scores[score], "+") for score in SCORES))
            lines.append("".join(f"{text:<27}" for text in cells).rstrip())
    return "\n".join([*lines, *named_in_tables(trained)])


def named_in_tables(maps: Iterable[str]) -> list[str]:
    """Return a line that says what the response maps among these are called in the tables; none without any."""
    pairs = [f"{name} = {NAMES[name]}" for name in dict.fromkeys(maps) if name in RESPONSES]
    return [f"(in the tables: {', '.join(pairs)})"] if pairs else []


def spanned(value: dict[str, float | None], sign: str = "") -> str:
    """Return `0.239 [0.225, 0.254]`, the mean alone where one group gives no interval, a dash where undefined."""
    mean, low, high = (math.nan if (end := value[key]) is None else end for key in ("mean", "low", "high"))
    if math.isnan(mean):
        return "–"
    return f"{mean:{sign}.3f}" + ("" if math.isnan(low) else f" [{low:{sign}.3f}, {high:{sign}.3f}]")


@kept_memory()
def write_faithfulness(
    run: str | Path,
    *,
    methods: Sequence[str] = CURVES,
    data: str | None = None,
    limit: int | None = 64,
    steps: int = 20,
    out: str | Path | None = None,
    kind: str = "png",
) -> tuple[pd.DataFrame, list[Path]]:
    """Write `faithfulness.csv` (areas by image and map) and the figure of mean curves; return areas with intervals.

    The returned table has a row per map and curve: `mean`, `low`, `high`; `difference_*` is the map less itself moved
    to a random place, paired by image: below 0 under deletion and above 0 under insertion it tells more than chance.
    """
    folder = RunFolder(Path(run))
    drawn = (folder.figures if out is None else Path(out)) / f"faithfulness.{checked_kind(kind)}"
    scores = (folder.path / "explanation" if out is None else Path(out)) / "faithfulness.csv"
    check_targets({drawn: "figure", scores: "curves"})
    tables: list[pd.DataFrame] = []
    curves: dict[str, dict[str, list[Any]]] = {}
    fractions = np.zeros(0)
    for part, name, found, moved in measured_curves(run, methods, data, limit, steps):
        fractions = found.fractions.cpu().numpy()
        areas = {
            side + ending: getattr(one, f"{side}_area").cpu().numpy()
            for one, ending in ((found, ""), (moved, "_moved"))
            for side in SIDES
        }
        tables.append(part.table[["path", "group"]].assign(map=name, **areas))
        held = curves.setdefault(name, {"deletion": [], "insertion": []})
        held["deletion"].append(found.deletion.cpu().numpy())
        held["insertion"].append(found.insertion.cpu().numpy())
    table = pd.concat(tables, ignore_index=True)
    means = {name: {side: np.concatenate(parts) for side, parts in both.items()} for name, both in curves.items()}
    figure = write_figure(drawn, faithfulness_figure(fractions, means))
    return area_intervals(table), [write_atomically(scores, table.to_csv(index=False)), figure]


def area_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per map and curve with its mean area, and that less the moved map's, with intervals."""
    rows: list[dict[str, Any]] = []
    for name, part in table.groupby("map", sort=False):
        groups = part["group"].tolist()
        found = score_intervals(part[[*SIDES]], groups)
        change = score_intervals(pd.DataFrame({side: part[side] - part[f"{side}_moved"] for side in SIDES}), groups)
        for side in SIDES:
            row: dict[str, Any] = {"map": name, "curve": side}
            row |= {key: found.loc[side, key] for key in ("mean", "low", "high")}
            row |= {f"difference_{key}": change.loc[side, key] for key in ("mean", "low", "high")}
            rows.append(row)
    return pd.DataFrame(rows)


def faithfulness_text(areas: pd.DataFrame) -> str:
    """Return the areas as lines for a terminal."""
    lines = [f"{'map':<30}{'curve':<11}{'area':<24}less the map moved at random"]
    for row in areas.to_dict("records"):
        own = spanned({key: row[key] for key in ("mean", "low", "high")})
        change = spanned({key: row[f"difference_{key}"] for key in ("mean", "low", "high")}, "+")
        lines.append(f"{NAMES[row['map']]:<30}{row['curve']:<11}{own:<24}{change}")
    return "\n".join([*(line.rstrip() for line in lines), *named_in_tables(areas["map"])])


def faithfulness_figure(fractions: Any, curves: dict[str, dict[str, Any]]) -> Figure:
    """Return mean deletion and insertion curves with 95 % bands (normal, over images), a line per map."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 4.0), dpi=150, layout="constrained")
        sides = figure.subplots(1, 2, sharey=True)
        texts = {
            "deletion": "Deletion: pixels blurred, most important first",
            "insertion": "Insertion: pixels restored",
        }
        for axes, (side, text) in zip(sides, texts.items(), strict=True):
            for place, (name, both) in enumerate(curves.items()):
                values = both[side]
                mean, half = values.mean(0), 1.96 * values.std(0, ddof=1 if len(values) > 1 else 0) / len(values) ** 0.5
                look: dict[str, Any] = {"color": "#777777", "ls": ":"} if name == "random" else {"color": f"C{place}"}
                area = float(np.trapezoid(mean, fractions))
                axes.plot(fractions, mean, label=f"{NAMES[name]} ({area:.3f})", **look)
                axes.fill_between(fractions, mean - half, mean + half, color=look["color"], alpha=0.12, lw=0)
            axes.set(title=text, xlabel="share of pixels changed", xlim=(0, 1), ylim=(0, 1))
            axes.legend(title="map (area)", fontsize=7.5, title_fontsize=8, frameon=False)
        sides[0].set_ylabel(f"probability of the label, mean of {len(next(iter(curves.values()))['deletion'])} images")
    return figure
