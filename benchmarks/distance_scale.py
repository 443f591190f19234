"""Measure the scale of d on real images, and what λL_d's gradient is beside L⁺'s, for both readings of Eq. 5.

    python benchmarks/distance_scale.py runs/ham-base [RUN …] [--batches 6]

Takes the trained network of each run and batches of its training images, in train mode, as training would go on. Writes
results/distance_scale.json and the table in docs/method.md.
"""

from pathlib import Path

import numpy as np
import torch
from measured_runs import write_measured

from danil import DistractorAware
from danil.data import loader
from danil.runs import RunFolder, open_run, run_manifest

READINGS = {
    "mean": {"distance": "mean"},
    "sum (Eq. 5 as printed)": {"distance": "sum"},
    "mean, map_scale batch": {"distance": "mean", "map_scale": "batch"},
}
MARKS = ("<!-- scale: made by `python benchmarks/distance_scale.py` -->", "<!-- end of scale -->")


def measured(run: Path, batches: int) -> list[dict[str, object]]:
    """Return a record per reading: medians over batches of d's median and of ‖∇λL_d‖/‖∇L⁺‖."""
    fitted = open_run(run)
    train = run_manifest(RunFolder(run)).part("train")
    images = fitted.images(train)
    order = np.random.default_rng(0).permutation(len(train))[: 32 * batches]
    records: list[dict[str, object]] = []
    for reading, options in READINGS.items():
        model = open_run(run).model.train()
        objective = DistractorAware(measure_every=1, **options)
        stats = []
        for batch in loader(images, order, batch_size=32):
            torch.manual_seed(0)
            stats.append(objective(model, fitted.normalize(batch.images), batch.targets).stats)
        medians = {name: float(torch.stack([one[name] for one in stats]).nanmedian()) for name in stats[0]}
        records.append({"run": run.name, "size": fitted.recipe.data.size, "reading": reading, **medians})
    return records


def table(records: list[dict[str, object]]) -> str:
    """Return the Markdown table of the records."""
    lines = ["| run | reading | share wrong | median d | ‖∇λL_d‖ / ‖∇L⁺‖ |", "|---|---|---|---|---|"]
    lines += [
        f"| {one['run']}, {one['size']} px | {one['reading']} | {one['share_wrong']:.2f} | "
        f"{one['distance_median']:.1e} | {one['gradient_ratio']:.1e} |"
        for one in records
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    write_measured(__doc__, measured, table, "distance_scale.json", "method.md", MARKS)
