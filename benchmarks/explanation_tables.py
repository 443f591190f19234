"""Collect evidence scores and robustness of runs into results/ and the tables of docs/explanation.md.

    danil train "synthetic:dermoscopy?images=900&size=96&difficulty=0.7" --recipe quick \
        --set objective.name=base --out runs/derm-base
    danil explain runs/derm-base --count 0 --evidence --map grad_cam --limit 128
    danil train ham10000:HAM10000 --recipe quick --set data.limit=1200 --set objective.name=base --out runs/ham-base
    danil evaluate runs/ham-base --robustness --limit 200        # and the same for runs/ham-danil
    danil compare runs/ham-base runs/ham-danil --json runs/ham.json
    python benchmarks/explanation_tables.py --evidence runs/derm-base … --comparison runs/ham.json

What is not named stays as it was recorded.
"""

import argparse
import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDS, DOCUMENT = ROOT / "results" / "explanation.json", ROOT / "docs" / "explanation.md"
NETWORKS = ("trained", "start", "random", "random_raw")
MAPS = {"truth": "A⁺", "rival": "A⁻", "difference": "A⁺ − A⁻", "grad_cam": "Grad-CAM", "occlusion": "occlusion"}


def spanned(entry: dict[str, Any], sign: str = "", key: str = "mean") -> str:
    if entry[key] is None:
        return "–"
    return f"{entry[key]:{sign}.3f} [{entry['low']:{sign}.3f}, {entry['high']:{sign}.3f}]".replace("-", "−")


def evidence_table(records: dict[str, Any]) -> str:
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
    lines += ["", "Trained less untrained, A⁺, paired by image:", ""]
    lines += ["| run | untrained network | in evidence | evidence gain |", "|---|---|---|---|"]
    for run, document in records.items():
        for network, maps in document["differences"].items():
            found = maps["truth"]
            cells = f"{spanned(found['in_evidence'], '+')} | {spanned(found['evidence_gain'], '+')}"
            lines.append(f"| {run} | {network} | {cells} |")
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
    parser.add_argument("--comparison", type=Path, metavar="FILE.json")
    chosen = parser.parse_args()
    records = json.loads(RECORDS.read_text()) if RECORDS.is_file() else {"evidence": {}, "robustness": None}
    for run in chosen.evidence:
        records["evidence"][run.name] = json.loads((run / "explanation" / "evidence.json").read_text())
    if chosen.comparison is not None:
        comparison = json.loads(chosen.comparison.read_text())
        records["robustness"] = {"robustness": comparison["robustness"]}
    RECORDS.write_text(json.dumps(records, indent=1) + "\n")
    text = DOCUMENT.read_text()
    tables = {"evidence": evidence_table(records["evidence"]) if records["evidence"] else ""}
    tables["robustness"] = robustness_table(records["robustness"]) if records["robustness"] else ""
    for name, table in tables.items():
        begin, end = f"<!-- {name}: made by `python benchmarks/explanation_tables.py` -->", f"<!-- end of {name} -->"
        text = re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", f"{begin}\n{table}\n{end}", text, flags=re.DOTALL)
    DOCUMENT.write_text(text)


if __name__ == "__main__":
    main()
