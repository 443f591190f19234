import re

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from danil.report.class_charts import INSIDE, LINES, precision_recall_chart, precision_steps, roc_chart
from danil.statistics.predictions import Predictions

PERFECT = Predictions.of([0, 0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6]], classes=["a", "b"])


def drawn(classes: int, images: int = 400) -> Predictions:
    generator = np.random.default_rng(0)
    labels = np.arange(images) % classes
    return Predictions.of(
        labels, generator.dirichlet(np.ones(classes), images), classes=[f"c{k}" for k in range(classes)]
    )


def test_perfectly_ranked_classes_have_area_one():
    assert "Areas: a 1.000, b 1.000." in roc_chart(PERFECT).svg
    assert "Average precision: a 1.000, b 1.000." in precision_recall_chart(PERFECT).svg


def test_an_area_is_the_share_of_pairs_ranked_rightly():
    table = Predictions.of([0, 0, 1, 1], [[0.9, 0.1], [0.3, 0.7], [0.5, 0.5], [0.1, 0.9]], classes=["a", "b"])
    assert "a 0.750" in roc_chart(table).svg


def test_a_class_without_images_has_no_curve_and_one_class_alone_no_roc():
    only = Predictions.of([0, 0], [[0.6, 0.4], [0.7, 0.3]], classes=["a", "b"])
    assert roc_chart(only) is None
    assert "b 0" not in precision_recall_chart(only).svg


def test_many_classes_show_the_worst_with_the_legend_below():
    made = roc_chart(drawn(20))
    assert f"the {LINES} of 20 classes" in made.caption
    shown = {name for name, _ in re.findall(r">(c\d+) \((\d\.\d+)\)<", made.svg)}
    areas = {name: float(area) for name, area in re.findall(r"(c\d+) (\d\.\d+)", made.svg)}
    assert len(shown) == LINES
    assert max(areas[name] for name in shown) <= min(areas[name] for name in areas if name not in shown)
    assert "Drawn" not in roc_chart(drawn(INSIDE)).caption


def test_names_that_xml_forbids_do_not_stop_a_chart():
    table = Predictions.of(PERFECT.labels, PERFECT.probabilities, classes=["\x07\ufffe", "<&>"])
    assert "&lt;&amp;&gt; (1.000)" in roc_chart(table).svg


@pytest.mark.parametrize("seed", range(5))
def test_the_steps_of_precision_hold_the_average_precision_also_with_ties(seed):
    generator = np.random.default_rng(seed)
    positive, scores = generator.random(60) < 0.2, generator.integers(0, 12, 60) / 12
    recall, precision = precision_steps(positive, scores)
    assert (recall[0], recall[-1]) == (0, 1)
    area = np.sum(np.diff(recall) * precision[1:])
    assert area == pytest.approx(average_precision_score(positive, scores))
