"""The further sections of `metrics.json` on a page: calibration, operating points, selective prediction, subgroups."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from danil.evaluation.notes import temperature_notes
from danil.report.card import TextTable
from danil.report.charts import decision_chart
from danil.report.drawing import Chart
from danil.report.measures import spanned
from danil.report.page import number, percent, signed

CURVES = 8
"""At most this many classes have a decision curve on the page."""


@dataclass(frozen=True)
class Section:
    """Hold sentences, tables and charts."""

    texts: list[str] = field(default_factory=list[str])
    tables: list[TextTable] = field(default_factory=list[TextTable])
    charts: list[Chart] = field(default_factory=list[Chart])


def calibration_section(document: Mapping[str, Any] | None) -> Section:
    """Return what the fitted temperature does, and what answering only confident images gives."""
    if document is None:
        return Section()
    fitted = (document.get("calibration") or {}).get("temperature")
    if not fitted:
        return Section([f"No temperature was fitted and no confidence was chosen: {NO_VALIDATION}"])
    before = document["metrics"]
    doubts = " ".join(temperature_notes(fitted))
    text = (
        f"A temperature of {number(fitted['value'], 2)}, fitted on the {fitted['images']:,} images of the "
        f"{fitted['fitted_on']} part, changes the test part's calibration error from {number(before['ece']['value'])} "
        f"to {number(fitted['ece'])} and its log-likelihood loss from {number(before['nll']['value'])} to "
        f"{number(fitted['nll'])}. Selective prediction, operating points and decision curves are with it; the "
        "metrics, which judge the network as trained, are without."
    )
    text += f" {doubts}" if doubts else ""
    points = (document.get("selective") or {}).get("points", [])
    rows = [
        [
            f"at most {percent(point['wanted_risk'], 0)}",
            number(point["threshold"]),
            *(NONE if point["threshold"] is None else spanned(point[key]) for key in ("coverage", "risk")),
        ]
        for point in points
    ]
    head = ["wanted error", "answer from confidence", "share answered", "error among them"]
    caption = "Answering only above a confidence: chosen on the validation part, measured on the test part"
    return Section([text], [TextTable(caption, head, rows)] if rows else [])


NONE = "not reached"
NO_VALIDATION = "there are no predictions on a validation part, and the test part must not choose what it then judges."


def operating_section(document: Mapping[str, Any] | None) -> Section | None:
    """Return a table per wanted sensitivity or specificity and the decision curves; `None` where there are none."""
    if document is None:
        return None
    points: list[Mapping[str, Any]] = document.get("operating_points") or []
    curves: Mapping[str, Mapping[str, Any]] = document["decision_curves"]
    drawn = [decision_chart(name, curve) for name, curve in list(curves.items())[:CURVES]]
    fewer = f" Decision curves: the first {CURVES} of {len(curves)} classes." if len(curves) > CURVES else ""
    if not points:
        return Section([f"No thresholds were chosen: {NO_VALIDATION}{fewer}"], [], drawn) if drawn else None
    wanted = dict.fromkeys((point["wanted"], point["at_least"]) for point in points)
    head = ["class", "threshold", "sensitivity", "specificity", "PPV", "NPV", "at prevalence"]
    tables: list[TextTable] = []
    for kind, least in wanted:
        rows = [
            [
                point["class"],
                number(point["threshold"]),
                *(spanned(point[key]) for key in ("sensitivity", "specificity", "ppv", "npv")),
                percent(point["prevalence"]),
            ]
            for point in points
            if (point["wanted"], point["at_least"]) == (kind, least)
        ]
        tables.append(TextTable(f"Thresholds for {kind} of at least {percent(least, 0)}", head, rows))
    text = (
        "A threshold turns the calibrated probability of one class into yes or no, that class against the rest. "
        "Thresholds were chosen on the validation part to reach the wanted rate there; the table shows what they give "
        "on the test part. Predictive values (PPV, NPV) hold at the prevalence stated, which will differ where the "
        f"network is used (`danil evaluate RUN --prevalence CLASS=SHARE`).{fewer}"
    )
    return Section([text], tables, drawn)


def subgroup_section(document: Mapping[str, Any] | None) -> Section | None:
    """Return a table per metadata column; `None` where there are no subgroups."""
    found: list[Mapping[str, Any]] = (document or {}).get("subgroups") or []
    if not found:
        return None
    tables: list[TextTable] = []
    head = ["images", "groups", "accuracy", "macro-F1", "gap in accuracy", "same labels", "p (Holm)", ""]
    for column in dict.fromkeys(item["column"] for item in found):
        rows = [
            [
                item["value"],
                f"{item['images']:,}",
                f"{item['groups']:,}",
                *(spanned(item["metrics"][key]) for key in ("accuracy", "macro_f1")),
                signed(item["gap"]),
                signed(item["gap_alike"]),
                "not tested" if item["p_holm"] is None else f"{item['p_holm']:.2g}",
                "flagged" if item["flagged"] else "",
            ]
            for item in found
            if item["column"] == column
        ]
        tables.append(TextTable(f"By {column}", [column, *head], rows))
    flagged = [f"{item['column']} {item['value']}" for item in found if item["flagged"]]
    tested = sum(item["p_holm"] is not None for item in found)
    told = ", ".join(flagged) if flagged else f"none of the {tested} tested"
    verdict = f"Flagged: {told}; {len(found) - tested} not tested." if tested else "None could be tested."
    text = (
        "The gap is a subgroup's accuracy less that of all other images; the second gap compares images of the same "
        "labels, since another mix of classes alone makes one group easier. That one is tested, where there are 20 "
        f"groups on each side, and flagged where its p-value, corrected for all subgroups, is below 0.05. {verdict} "
        "Macro-F1 is over the classes that a subgroup holds, so it does not compare across subgroups."
    )
    return Section([text], tables)
