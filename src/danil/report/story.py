"""The summary of a run in plain words, and the limits its model card states."""

import numpy as np

from danil.data.manifest import plural
from danil.report.measures import Measure, MeasureGroup
from danil.report.record import RunRecord
from danil.statistics.confusion import confusion_matrix

Tiles = list[tuple[str, str, str]]
SHOWN = ("accuracy", "macro_f1", "balanced_accuracy")


def summary(record: RunRecord, groups: list[MeasureGroup]) -> list[str]:
    """Return what a reader in a hurry should know, most important first."""
    names = record.classes
    told = [f"A network that sorts images into {plural(len(names), 'class')}: {', '.join(names)}."]
    if not groups:
        return [*told, "It has not been evaluated: there are no metrics to report."]
    found = {measure.key: measure for measure in groups[0].measures}
    if "accuracy" in found:
        told.append(accuracy_sentence(found["accuracy"], tested(record)))
    if "macro_f1" in found:
        told.append(f1_sentence(found["macro_f1"]))
    confusion = worst_confusion(record)
    return told + ([confusion] if confusion else [])


def tested(record: RunRecord) -> int:
    """Return the number of labelled test images."""
    return 0 if record.predictions is None else int((record.predictions.labels >= 0).sum())


def accuracy_sentence(accuracy: Measure, images: int) -> str:
    """Return how many images are right, how sure that is, and what a constant answer would reach."""
    tested = plural(images, "test image")
    said = f"Of {tested} not used for training, {100 * accuracy.value:.1f} % were given the right class"
    if accuracy.low is not None and accuracy.high is not None:
        said += f" (95 % interval {100 * accuracy.low:.1f} to {100 * accuracy.high:.1f} %)"
    if accuracy.constant is None:
        return f"{said}."
    said += f". Always answering the most frequent class would be right for {100 * accuracy.constant:.1f} %"
    if accuracy.low is not None and accuracy.low <= accuracy.constant:
        return f"{said}: the interval does not exclude that the network is no better than that."
    return f"{said}."


def f1_sentence(score: Measure) -> str:
    """Return the macro-F1, which counts every class the same."""
    span = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"The macro-F1 score, in which every class counts the same, is {score.value:.3f}{span}; 1 is perfect."


def worst_confusion(record: RunRecord) -> str | None:
    """Return the class of whose images the largest share was taken for one other class."""
    if record.predictions is None:
        return None
    matrix = confusion_matrix(record.predictions.labels, record.predictions.found, len(record.classes))
    totals = matrix.sum(1)
    np.fill_diagonal(matrix, 0)
    shares = matrix / np.maximum(totals, 1)[:, None]
    label, other = np.unravel_index(shares.argmax(), shares.shape)
    taken, images = int(matrix[label, other]), int(totals[label])
    if not taken:
        return "No test image was given a wrong class."
    names = record.classes
    were = "was" if taken == 1 else "were"
    return (
        f"The class most often taken for one other, by share: of {plural(images, 'image')} of {names[label]}, {taken} "
        f"{were} taken for {names[other]}."
    )


def tiles(record: RunRecord, groups: list[MeasureGroup]) -> Tiles:
    """Return the headline numbers."""
    if not groups:
        return []
    shown: Tiles = []
    for measure in groups[0].measures:
        if measure.key in SHOWN:
            span = (
                "" if measure.low is None or measure.high is None else f"95 %: {measure.low:.3f} to {measure.high:.3f}"
            )
            shown.append((measure.name, f"{measure.value:.3f}", span))
    return [*shown, ("Test images", f"{tested(record):,}", f"{len(record.classes)} classes")]


def limits(record: RunRecord, cautions: list[str]) -> list[str]:
    """Return the limits of the model, what is known of its data first."""
    table = record.manifest
    trained = 0 if table is None else int((table["split"] == "train").sum())
    return [
        *cautions,
        f"It was trained on {plural(trained, 'image')} of one source; elsewhere it may do worse.",
        "The intervals hold for the chance of drawing these test images: not for another clinic, device or population, "
        "and not for the chance in training (another seed gives another network).",
        "It gives no answer “none of these classes”; its confidence on unfamiliar images means little.",
        "Response maps show what the network's loss reacts to. They are no proof that it looks at the disease.",
    ]
