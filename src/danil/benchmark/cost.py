"""What a suite will cost, from the records of earlier cells."""

from collections.abc import Sequence
from statistics import median

from danil.benchmark.cell import Cell
from danil.benchmark.records import Record


def estimated_hours(cell: Cell, records: Sequence[Record]) -> tuple[float | None, str]:
    """Return the processor hours a cell will take, and from what they were taken; `None` where nothing is known.

    Time is taken as proportional to images × epochs × pixels, at the median rate of the most similar records: same
    backbone and method, else same backbone and objective, else same backbone, whatever the method.
    """
    alike = [record for record in records if record.recipe["model"]["backbone"] == cell.recipe.model.backbone]
    kin = [record for record in alike if record.recipe["objective"]["name"] == cell.recipe.objective.name]
    same = [record for record in alike if record.method[0] == cell.method[0]]
    for chosen, source in (
        (same, "this backbone and method"),
        (kin, "this backbone and objective"),
        (alike, "this backbone, other methods"),
    ):
        if chosen:
            work = cell.images * cell.recipe.train.epochs * cell.recipe.data.size**2
            return work * median(map(rate, chosen)) / 3600, f"{len(chosen)} record(s) of {source}"
    return None, "no record of this backbone yet"


def rate(record: Record) -> float:
    """Return the processor seconds per image, epoch and pixel of a finished cell."""
    return record.cpu_seconds / (
        record.parts["train"] * record.recipe["train"]["epochs"] * record.recipe["data"]["size"] ** 2
    )
