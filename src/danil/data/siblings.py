"""Groups (patients, lesions …) on both sides of a split, in words."""

import pandas as pd

SIDES = {
    "test": (("train", "validation"), "training or validation, so the results may be too good"),
    "validation": (("train",), "training, so the epoch and the thresholds chosen on them may be too good to be true"),
}
"""Part → the parts that must not share a group with it, and what follows where they do."""


def sibling_warnings(table: pd.DataFrame, grouped: bool) -> list[str]:
    """Return a sentence for each part of a manifest's table whose images have siblings where they must not."""
    told: list[str] = []
    for part, (others, follows) in SIDES.items() if grouped else ():
        inside = table["split"] == part
        shared = int(table.loc[inside, "group"].isin(set(table.loc[table["split"].isin(others), "group"])).sum())
        if shared:
            told.append(
                f"{shared:,} of {int(inside.sum()):,} {part} images belong to a group (patient, lesion …) that also "
                f"has images in {follows}. Compare with `split.kind=grouped`."
            )
    return told
