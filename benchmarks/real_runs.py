"""Train the runs of the README's table on real images, record them, and write the table.

    python benchmarks/real_runs.py train [NAME …] [--threads 1]   # trains what has no record yet
    python benchmarks/real_runs.py table                          # README's table from results/runs/*.json

Each record in results/runs/ is small JSON: the command, the duration (wall and CPU), the metrics with intervals.
Expects the images in ../shared/data and weights in ../shared/weights beside the checkout.
"""

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from pathlib import Path

from marked import write_between

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "results" / "runs"
WEIGHTS = "../shared/weights/tf_efficientnet_b0_imagenet.safetensors"
PAPER = f"--recipe paper --set model.backbone=tf_efficientnet_b0 --set model.weights={WEIGHTS}"
DATA = {
    "ham": ("ham10000:../shared/data/ham10000", "HAM10000 (5,984 images, one per lesion)"),
    "aptos": ("aptos2019:../shared/data/aptos2019", "APTOS2019"),
    "tiles": ("../shared/data/crc_tiles", "colorectal tiles (stand-in, not CRC-MSI)"),
}
EPOCHS = {"ham": 8, "aptos": 4, "tiles": 2}
RUNS = {
    f"{data}-{method}": f"train {source} {PAPER} --set data.size=96 --set train.epochs={EPOCHS[data]} "
    f"--set objective.name={method} --seed 0 --out runs/{data}-{method}"
    for data, (source, _) in DATA.items()
    for method in ("base", "ohem", "danil")
}
KEPT = {"images", "resamples", "seed", "level", "metrics", "per_class", "confusion_matrix", "constant", "notes"}
MARKS = ("<!-- results: made by `python benchmarks/real_runs.py table` -->", "<!-- end of results -->")


def train(names: list[str], threads: int) -> None:
    """Train each named run that has no record, and record it."""
    for name in names or RUNS:
        if (RECORDS / f"{name}.json").exists():
            continue
        began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        command = [sys.executable, "-m", "danil.cli.main", *shlex.split(RUNS[name]), "--overwrite"]
        subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        cpu = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - used
        record(name, time.perf_counter() - began, cpu, threads)


def record(name: str, seconds: float, cpu_seconds: float, threads: int) -> None:
    """Write the record of a finished run."""
    run = ROOT / "runs" / name
    environment = json.loads((run / "environment.json").read_text())
    metrics = json.loads((run / "metrics.json").read_text())
    content = {
        "command": f"danil {RUNS[name]}",
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "threads": threads,
        "versions": environment["versions"],
        "git": environment["git"],
        "data": {key: value for key, value in json.loads((run / "data.json").read_text()).items() if key != "root"},
        "metrics": {key: value for key, value in metrics.items() if key in KEPT},
    }
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def table() -> str:
    """Return the Markdown table of all records, in the order of `RUNS`."""
    lines = ["| data | method | macro-F1 [95 %] | accuracy [95 %] | CPU minutes (user) |", "|---|---|---|---|---|"]
    for data, (_, title) in DATA.items():
        records = {name: RECORDS / f"{name}.json" for name in RUNS if name.startswith(f"{data}-")}
        found = {name: json.loads(path.read_text()) for name, path in records.items() if path.exists()}
        for number, (name, content) in enumerate(found.items()):
            metrics = content["metrics"]
            if number == 0:
                constant = metrics["constant"]["metrics"]
                lines.append(
                    f"| {title} | constant classifier | {constant['macro_f1']:.3f} | {constant['accuracy']:.3f} | – |"
                )
            shown = " | ".join(interval(metrics["metrics"][metric]) for metric in ("macro_f1", "accuracy"))
            lines.append(f"| {title} | {name.split('-')[1]} | {shown} | {content['cpu_seconds'] / 60:.0f} |")
    return "\n".join(lines)


def interval(metric: dict[str, float]) -> str:
    """Return a metric with its interval in words."""
    return f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"


def write_table() -> None:
    """Put the table between its marks in the README."""
    write_between(ROOT / "README.md", MARKS, table())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["train", "table"])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RUNS))
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.action == "train":
        train(arguments.names, arguments.threads)
    write_table()
