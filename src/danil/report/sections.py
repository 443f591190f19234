"""The further sections of `metrics.json` on a page: calibration, operating points, selective prediction, subgroups."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from danil.report.card import TextTable
from danil.report.charts import decision_chart
from danil.report.drawing import Chart
from danil.report.measures import spanned
from danil.report.page import number, percent, signed

CURVES = 6
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
    text = "No temperature was fitted: there is no validation part to fit it on."
    if fitted:
        before = document["metrics"]
        text = (
            f"A temperature of {number(fitted['value'], 2)}, fitted on the {fitted['fitted_on']} part, changes the "
            f"test part's calibration error from {number(before['ece']['value'])} to {number(fitted['ece'])} and its "
            f"log-likelihood loss from {number(before['nll']['value'])} to {number(fitted['nll'])}. All other metrics, "
            "curves and thresholds on this page are without it."
        )
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
    caption = f"Answering only above a confidence, {chosen_on(points)}"
    return Section([text], [TextTable(caption, head, rows)] if rows else [])


NONE = "not reached"


def chosen_on(points: list[Mapping[str, Any]]) -> str:
    """Return where thresholds were chosen."""
    if points and points[0]["chosen_on"] == "validation":
        return "chosen on the validation part"
    return "chosen on these test images, which flatters the result"


def operating_section(document: Mapping[str, Any] | None) -> Section | None:
    """Return a table per wanted sensitivity or specificity and the decision curves; `None` where there are none."""
    points: list[Mapping[str, Any]] = (document or {}).get("operating_points") or []
    if not points:
        return None
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
        "A threshold turns the probability of one class into yes or no, that class against the rest. Thresholds were "
        f"{chosen_on(points)}; what they give was measured on the test part. Predictive values (PPV, NPV) hold at the "
        "prevalence stated, which will differ where the network is used."
    )
    drawn = list(((document or {}).get("decision_curves") or {}).items())[:CURVES]
    return Section([text], tables, [decision_chart(name, curve) for name, curve in drawn])


def subgroup_section(document: Mapping[str, Any] | None) -> Section | None:
    """Return a table per metadata column; `None` where there are no subgroups."""
    found: list[Mapping[str, Any]] = (document or {}).get("subgroups") or []
    if not found:
        return None
    tables: list[TextTable] = []
    head = ["", "images", "groups", "accuracy", "macro-F1", "gap in accuracy", "p (Holm)", ""]
    for column in dict.fromkeys(item["column"] for item in found):
        rows = [
            [
                item["value"],
                f"{item['images']:,}",
                f"{item['groups']:,}",
                *(spanned(item["metrics"][key]) for key in ("accuracy", "macro_f1")),
                signed(item["gap"]),
                "too few" if item["p_holm"] is None else f"{item['p_holm']:.2g}",
                "flagged" if item["flagged"] else "",
            ]
            for item in found
            if item["column"] == column
        ]
        tables.append(TextTable(f"By {column}", [column, *head[1:]], rows))
    flagged = [f"{item['column']} {item['value']}" for item in found if item["flagged"]]
    verdict = f"Flagged: {', '.join(flagged)}." if flagged else "No gap is larger than chance explains."
    text = (
        "The gap is a subgroup's accuracy less that of all other images; it is flagged where its p-value, corrected "
        f"for the number of subgroups, is below 0.05. {verdict} A gap may come from another mix of classes."
    )
    return Section([text], tables)
