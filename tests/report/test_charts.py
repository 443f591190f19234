import re

import numpy as np
import pandas as pd
import pytest

from danil.report.charts import (
    compared_curves,
    curves,
    decision_chart,
    reliability_chart,
    risk_coverage_chart,
    training_charts,
)
from danil.report.drawing import thinned
from danil.statistics.predictions import Predictions


def test_reliability_tells_confidence_and_share_right():
    table = Predictions.of([0, 1, 0, 0], [[0.95, 0.05]] * 4)
    assert "0.95 said, 0.75 right" in reliability_chart(table).svg


def test_reliability_shows_both_sides_of_a_temperature():
    table = Predictions.of([0, 1, 0, 0], [[0.95, 0.05]] * 4)
    shown = reliability_chart(table, table.with_probabilities(np.array([[0.75, 0.25]] * 4))).svg
    assert "as trained: 0.95 said, 0.75 right; with temperature: 0.75 said, 0.75 right" in shown


def test_risk_falls_with_coverage_when_the_unsure_are_wrong():
    table = Predictions.of([0, 0, 0, 1], [[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.6, 0.4]])
    assert "0.000 on the more confident half, 0.250 on all" in risk_coverage_chart(table).svg


def test_a_decision_curve_tells_where_the_network_is_best():
    curve = {"thresholds": [0.1, 0.5, 0.9], "model": [0.4, 0.3, -0.1], "everyone": [0.4, 0.0, -4.0]}
    assert "best at 1 of 3 thresholds, all of them between 0.50 and 0.50" in decision_chart("a", curve).svg


def test_long_curves_are_thinned_with_their_ends_kept():
    values = np.arange(10_000)
    (kept,) = thinned(values)
    assert len(kept) <= 250
    assert (kept[0], kept[-1]) == (0, 9999)
    np.testing.assert_array_equal(thinned(values[:10])[0], values[:10])


def test_a_log_gives_a_chart_for_each_kind_of_column():
    log = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "cross_entropy": [1.9, 0.9], "distractor": [0.1, 0.1]})
    log = log.assign(share_wrong=[0.5, 0.2], distance_median=[1e-4, 1e-2], gradient_ratio=[0.2, 0.0], lr=0.1, step=1)
    log = log.assign(seconds=9.0, statistics_seconds=7.0)
    titles = [re.search('aria-label="(.*?) over 2 epochs', item.svg)[1] for item in training_charts(log)]
    assert titles == ["Training loss", "Wrong images", "Distance d", "Gradient ratio"]
    assert "loss from 2 to 1" in training_charts(log)[0].svg
    assert "seconds" not in training_charts(log)[0].svg


@pytest.mark.parametrize("ratios", [[0.0, 0.0], [np.nan, np.nan], [1e-9, 1e3]])
def test_an_odd_logarithmic_column_does_not_stop_a_report(ratios):
    training_charts(pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "gradient_ratio": ratios}))


def test_runs_share_a_chart_and_one_without_the_column_is_left_out():
    logs = {"x": pd.DataFrame({"epoch": [1], "share_wrong": [0.5]}), "y": pd.DataFrame({"epoch": [1]})}
    made = compared_curves(logs, "share_wrong", "Wrong", "")
    assert "x from 0.5 to 0.5" in made.svg
    assert "y from" not in made.svg
    assert compared_curves(logs, "nothing", "Wrong", "") is None


def test_the_axis_of_one_epoch_has_whole_numbers_only():
    drawn = curves(pd.DataFrame({"epoch": [1], "loss": [0.5]}), ["loss"], "Loss", "")
    numbers = [float(text) for text in re.findall(r">(-?[\d.]+)</text>", drawn.svg)]
    assert [value for value in numbers if 0.5 < value < 1.5] == [1]


def test_no_part_of_the_loss_is_drawn_that_is_none_and_gaps_are_told_as_known_values():
    columns = {"epoch": [1, 2, 3], "loss": [3.0, 2.0, 1.0], "distance_median": [0.1, 0.4, np.nan]}
    charts = training_charts(pd.DataFrame({**columns, "distractor_weight": [37.0, 40.0, 52.0]}))
    text = " ".join(chart.svg for chart in charts)
    assert "distractor weight" not in text
    assert "distance median from 0.1 to 0.4" in text
    assert "nan" not in " ".join(re.findall(r"over 3 epochs: [^<]*", text))
