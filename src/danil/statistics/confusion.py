"""Metrics that a confusion matrix decides, for one matrix or many at once.

A matrix has shape `(…, K, K)`, rows the labels, columns the predictions; leading axes are resamples. **Convention**: a
class without any true image has no per-class score (NaN) and no part in macro averages, also where it was predicted
(such a prediction still costs the true class its recall), so that all methods on one test set are averaged over the
same classes. A class that was never predicted has precision 0. Where labels hold every class, scikit-learn agrees.
"""

import re
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from danil.statistics.predictions import Floats, Integers


def confusion_matrix(labels: Integers, found: Integers, classes: int) -> Integers:
    """Return the `(K, K)` counts, rows the labels, columns the predictions; unknown labels (−1) are left out."""
    known = labels >= 0
    return np.bincount(labels[known] * classes + found[known], minlength=classes**2).reshape(classes, classes)


def ratio(above: ArrayLike, below: ArrayLike) -> Floats:
    """Return the quotient, NaN where the denominator is 0."""
    top, bottom = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)


def class_scores(confusion: Floats) -> dict[str, Floats]:
    """Return `precision`, `recall` and `f1`, each `(…, K)`."""
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    present = support > 0
    precision = np.where(present, np.nan_to_num(ratio(hits, predicted)), np.nan)
    f1 = np.where(present, ratio(2 * hits, support + predicted), np.nan)
    return {"precision": precision, "recall": ratio(hits, support), "f1": f1}


def overall_scores(confusion: Floats, ordinal: bool = False) -> dict[str, Floats]:
    """Return accuracy, balanced accuracy, macro and weighted averages, MCC, for graded labels kappa, each `(…)`."""
    support = confusion.sum(-1)
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    scores = {"accuracy": ratio(hits.sum(-1), support.sum(-1))}
    by_class = class_scores(confusion)
    scores["balanced_accuracy"] = class_mean(by_class["recall"])
    for name, values in by_class.items():
        scores[f"macro_{name}"] = class_mean(values)
    for name, values in by_class.items():
        scores[f"weighted_{name}"] = ratio((np.nan_to_num(values) * support).sum(-1), support.sum(-1))
    scores["mcc"] = matthews(confusion)
    if ordinal:
        scores["quadratic_kappa"] = quadratic_kappa(confusion)
    return scores


def class_mean(values: Floats) -> Floats:
    """Return the mean over the last axis without NaN; NaN where nothing is left."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(-1), defined.sum(-1))


def matthews(confusion: Floats) -> Floats:
    """Return the correlation of labels and predictions; 0 where either is constant, as scikit-learn has it.

    Reference: Gorodkin, Comput. Biol. Chem. 28 (2004), eq. 8.
    """
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    total = support.sum(-1)
    covariance = np.trace(confusion, axis1=-2, axis2=-1) * total - (support * predicted).sum(-1)
    spread = (total**2 - (support**2).sum(-1)) * (total**2 - (predicted**2).sum(-1))
    return np.where(total > 0, np.nan_to_num(ratio(covariance, np.sqrt(spread))), np.nan)


def quadratic_kappa(confusion: Floats) -> Floats:
    """Return Cohen's kappa with weights (i − j)²; NaN where labels and predictions are the same constant."""
    grades = np.arange(confusion.shape[-1])
    penalty: Any = (grades[:, None] - grades) ** 2
    support, predicted = confusion.sum(-1), confusion.sum(-2)
    observed = (penalty * confusion).sum((-2, -1))
    expected = np.einsum("ij,...i,...j->...", penalty, support, predicted)
    return 1 - ratio(observed * support.sum(-1), expected)


def macro_f1(labels: Integers, found: Integers, classes: int) -> float:
    """Return the macro-F1 of class indices over the classes that occur among the labels."""
    return float(overall_scores(confusion_matrix(labels, found, classes).astype(np.float64))["macro_f1"])


def graded(classes: tuple[str, ...]) -> bool:
    """Tell whether class names are grades: at least three consecutive integers (`2` or `2.0`) in ascending order."""
    if len(classes) < 3 or not all(re.fullmatch(r"[0-9]+(\.0*)?", name) for name in classes):
        return False
    grades = [int(name.partition(".")[0]) for name in classes]
    return grades == list(range(grades[0], grades[0] + len(grades)))
