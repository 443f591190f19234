"""Collect evidence scores, faithfulness and robustness of runs into results/ and the tables of docs/explanation.md.

    for objective in base danil; do
      danil train "synthetic:dermoscopy?images=1500&size=96&difficulty=0.4" --recipe quick \
        --set objective.name=$objective --out runs/derm-$objective
      danil train "synthetic:fundus?images=1500&size=96&difficulty=0.2" --recipe quick \
        --set objective.name=$objective --out runs/fundus-$objective
      danil explain runs/derm-$objective --count 0 --evidence --map grad_cam --limit 256
      danil explain runs/fundus-$objective --count 0 --evidence --map grad_cam --limit 256
      danil train ham10000:HAM10000 --recipe quick --set data.limit=1200 --set objective.name=$objective \
        --out runs/ham-$objective
      danil evaluate runs/ham-$objective --robustness --limit 200
    done
    danil train aptos2019:APTOS2019 --recipe quick --set data.limit=1000 --set objective.name=base --out runs/aptos-base
    for run in runs/ham-danil runs/aptos-base; do danil explain $run --count 0 --faithfulness --limit 48; done
    danil compare runs/ham-base runs/ham-danil --json runs/ham.json
    python benchmarks/explanation_tables.py --evidence runs/derm-* runs/fundus-* \
      --faithfulness runs/ham-danil runs/aptos-base --comparison runs/ham.json

What is not named stays as it was recorded.
"""

import argparse
import json
import tomllib
from pathlib import Path
from typing import Any

import pandas as pd
from marked import write_between

from danil.explanation.score_files import area_intervals

ROOT = Path(__file__).parents[1]
RECORDS, DOCUMENT = ROOT / "results" / "explanation.json", ROOT / "docs" / "explanation.md"
NETWORKS = ("trained", "start", "random", "random_raw")
MAPS = {
    "truth": "A⁺",
    "rival": "A⁻",
    "difference": "A⁺ − A⁻",
    "contribution": "A⁺ ⊙ x",
    "integrated_gradients": "Integrated Gradients",
    "grad_cam": "Grad-CAM",
    "occlusion": "occlusion",
}
DIFFERENCES = {
    "in_evidence": "in evidence",
    "evidence_gain": "evidence gain",
    "in_distractors": "in distractors",
    "pointing": "pointing",
}


def spanned(entry: dict[str, Any], sign: str = "", key: str = "mean") -> str:
    if entry[key] is None:
        return "–"
    span = "" if entry["low"] is None else f" [{entry['low']:{sign}.3f}, {entry['high']:{sign}.3f}]"
    return f"{entry[key]:{sign}.3f}{span}".replace("-", "−")


def evidence_table(records: dict[str, Any]) -> str:
    """Return the runs, how often trained beats untrained, the scores, and the differences, as Markdown."""
    runs = ["| run | data | objective | test macro-F1 | images scored |", "|---|---|---|---|---|"]
    for run, document in records.items():
        cells = f"`{document['data']}` | {document['objective']} | {document['macro_f1']:.3f} | {document['images']}"
        runs.append(f"| {run} | {cells} |")
    parts = [runs, count_lines(records), score_lines(records), difference_lines(records)]
    return "\n\n".join("\n".join(lines) for lines in parts)


def count_lines(records: dict[str, Any]) -> list[str]:
    """Return a row per map and untrained network: in how many runs the difference's interval lies above or below 0."""
    lines = ["Trained less untrained, paired by image: in how many runs the 95 % interval lies above 0 (below 0).", ""]
    lines += [f"| map | less network | {' | '.join(DIFFERENCES.values())} |", "|---" * (len(DIFFERENCES) + 2) + "|"]
    for kind, title in MAPS.items():
        for other in NETWORKS[1:]:
            found = [document["differences"].get(other, {}).get(kind) for document in records.values()]
            entries = [entry for entry in found if entry is not None]
            cells: list[str] = []
            for score in DIFFERENCES:
                sides = [side(entry[score]) for entry in entries]
                below = f" ({sides.count(-1)} below)" if -1 in sides else ""
                cells.append(f"{sides.count(1)} of {len(sides)}{below}")
            if entries:
                lines.append(f"| {title} | {other} | {' | '.join(cells)} |")
    return lines


def score_lines(records: dict[str, Any]) -> list[str]:
    """Return a row per run and map of the trained network, and of A⁺ of the untrained ones."""
    lines = [
        "| run | map | network | in evidence | of which position | evidence gain | in distractors | pointing |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for run, document in records.items():
        for kind, title in MAPS.items():
            for network in NETWORKS:
                scores = document["networks"].get(network, {}).get(kind)
                if scores is None or (network != "trained" and kind != "truth"):
                    continue
                position = scores["evidence_position"]["mean"]
                cells = [spanned(scores["in_evidence"]), f"{position:.3f}", spanned(scores["evidence_gain"], "+")]
                cells += [spanned(scores["in_distractors"]), spanned(scores["pointing"])]
                lines.append(f"| {run} | {title} | {network} | {' | '.join(cells)} |")
        area = document["networks"]["trained"]["truth"]
        rest = f"{area['evidence_area']['mean']:.3f} | | | {area['distractor_area']['mean']:.3f} | |"
        lines.append(f"| {run} | *masks' share of the image* | | {rest}")
    return lines


def difference_lines(records: dict[str, Any]) -> list[str]:
    """Return a row per run, map and untrained network: bold above 0, italic below."""
    lines = ["Trained less untrained; **bold**: the interval lies above 0, *italic*: below.", ""]
    lines += [f"| run | map | less network | {' | '.join(DIFFERENCES.values())} |"]
    lines += ["|---" * (len(DIFFERENCES) + 3) + "|"]
    for run, document in records.items():
        for kind, title in MAPS.items():
            for other in NETWORKS[1:]:
                found = document["differences"].get(other, {}).get(kind)
                if found is not None and kind != "difference":
                    cells = [marked(found[score]) for score in DIFFERENCES]
                    lines.append(f"| {run} | {title} | {other} | {' | '.join(cells)} |")
    return lines


def marked(entry: dict[str, Any]) -> str:
    mark = {1: "**", 0: "", -1: "*"}[side(entry)]
    return f"{mark}{spanned(entry, '+')}{mark}"


def side(entry: dict[str, Any]) -> int:
    """Return 1 where the interval lies above 0, −1 below, 0 where it holds 0 or there is none."""
    if entry["mean"] is None:
        return 0
    return (entry["low"] > 0) - (entry["high"] < 0)


def evidence_record(run: Path) -> dict[str, Any]:
    """Return what a run's folder says of its evidence scores, data and test score."""
    recipe = tomllib.loads((run / "recipe.toml").read_text())
    metrics = json.loads((run / "metrics.json").read_text())["metrics"]
    return {
        "data": recipe["data"]["source"],
        "objective": recipe["objective"]["name"],
        "macro_f1": metrics["macro_f1"]["value"],
        **json.loads((run / "explanation" / "evidence.json").read_text()),
    }


def rounded(value: Any) -> Any:
    """Return the record with its numbers to six places."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [rounded(entry) for entry in value]
    return round(value, 6) if isinstance(value, float) else value


def faithfulness_record(run: Path) -> dict[str, Any]:
    """Return the areas under a run's deletion and insertion curves, and less those of the map moved, with intervals."""
    table = pd.read_csv(run / "explanation" / "faithfulness.csv", dtype={"path": str, "group": str, "map": str})
    recipe = tomllib.loads((run / "recipe.toml").read_text())
    return {
        "objective": recipe["objective"]["name"],
        "images": int((table["map"] == "random").sum()),
        "areas": area_intervals(table).to_dict("records"),
    }


def faithfulness_table(records: dict[str, Any]) -> str:
    """Return a row per run and map; bold: better than the map moved at random, italic: worse."""
    head = "| run (images) | map | deletion (low is good) | less moved | insertion (high is good) | less moved |"
    lines = [head, "|---|---|---|---|---|---|"]
    for run, document in records.items():
        rows = {(row["map"], row["curve"]): row for row in document["areas"]}
        for kind in dict.fromkeys(row["map"] for row in document["areas"]):
            cells: list[str] = []
            for curve, sign in (("deletion", -1), ("insertion", 1)):
                row = rows[kind, curve]
                change = {key: row[f"difference_{key}"] for key in ("mean", "low", "high")}
                mark = {1: "**", 0: "", -1: "*"}[sign * side(change)]
                cells += [spanned(row), f"{mark}{spanned(change, '+')}{mark}"]
            title = MAPS.get(kind, "random ranking")
            lines.append(f"| {run} ({document['images']}) | {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def robustness_table(comparison: dict[str, Any]) -> str:
    document = comparison["robustness"]
    names = list(document["conditions"][0]["methods"])
    pair = document["conditions"][0]["pairs"][0]
    difference = f"{pair['first']} − {pair['second']}"
    head = [f"{name}, {metric}" for metric in ("accuracy", "macro-F1") for name in (*names, difference)]
    lines = [f"| condition | {' | '.join(head)} |", "|---" * (len(head) + 1) + "|"]
    for row in document["conditions"]:
        cells: list[str] = []
        for metric in ("accuracy", "macro_f1"):
            cells += [f"{row['methods'][name][metric]['value']:.3f}" for name in names]
            cells.append(spanned(row["pairs"][0]["differences"][metric], "+", "value"))
        lines.append(f"| {row['name']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evidence", nargs="*", type=Path, default=[], metavar="RUN")
    parser.add_argument("--faithfulness", nargs="*", type=Path, default=[], metavar="RUN")
    parser.add_argument("--comparison", type=Path, metavar="FILE.json")
    chosen = parser.parse_args()
    records: dict[str, Any] = {"evidence": {}, "faithfulness": {}, "robustness": None}
    records |= json.loads(RECORDS.read_text()) if RECORDS.is_file() else {}
    for run in chosen.evidence:
        records["evidence"][run.name] = evidence_record(run)
    for run in chosen.faithfulness:
        records["faithfulness"][run.name] = faithfulness_record(run)
    if chosen.comparison is not None:
        comparison = json.loads(chosen.comparison.read_text())
        records["robustness"] = {"robustness": comparison["robustness"]}
    RECORDS.write_text(json.dumps(rounded(records), indent=1) + "\n")
    tables = {"evidence": evidence_table(records["evidence"]) if records["evidence"] else ""}
    tables["faithfulness"] = faithfulness_table(records["faithfulness"])
    tables["robustness"] = robustness_table(records["robustness"]) if records["robustness"] else ""
    for name, table in tables.items():
        marks = f"<!-- {name}: made by `python benchmarks/explanation_tables.py` -->", f"<!-- end of {name} -->"
        write_between(DOCUMENT, marks, table)


if __name__ == "__main__":
    main()
