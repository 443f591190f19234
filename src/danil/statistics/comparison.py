"""Paired comparison of methods on the same images, with one training or several seeds each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar

from danil.statistics.bootstrap import FEW, LEVEL, RESAMPLES, Bootstrap, bootstrap, class_groups, rarest_groups
from danil.statistics.multiplicity import holm_corrected
from danil.statistics.predictions import Predictions, PredictionsError
from danil.statistics.scorer import LOWER_IS_BETTER, RANKED
from danil.statistics.two_level import ENOUGH, Difference, difference, method_mean


@dataclass(frozen=True)
class Pair:
    """Hold two methods, their differences by metric, and McNemar's p-value for each pair of trainings."""

    first: str
    second: str
    seeds: tuple[int, int]
    paired: bool
    differences: Mapping[str, Difference]
    mcnemar: Sequence[float]


def aligned(tables: Sequence[Predictions]) -> list[Predictions]:
    """Return labelled rows of all tables in the order of the first.

    Raises:
        PredictionsError: other classes, images, labels or groups than the first one's; the first such row is named.
    """
    first = tables[0].labelled()
    first.require_rows("a comparison")
    places = {path: row for row, path in enumerate(first.paths)}
    ordered = [first]
    for table in tables[1:]:
        other = table.labelled()
        check_same_classes(first, other)
        alone = sorted(set(other.paths) ^ set(places))
        if alone:
            holder = first.source if alone[0] in places else other.source
            raise PredictionsError(
                f"`{first.source}` and `{other.source}` are not on the same test images: {len(alone)} are labelled "
                f"in one only, e.g. `{alone[0]}` in `{holder}`. Compare runs with the same data and `split.seed`."
            )
        rows = np.empty(len(first), dtype=np.int64)
        rows[[places[path] for path in other.paths]] = np.arange(len(other))
        same = other.take(rows)
        for name, mine, theirs in (("label", first.labels, same.labels), ("group", first.groups, same.groups)):
            odd = np.flatnonzero(mine != theirs)
            if len(odd):
                raise PredictionsError(
                    f"`{first.source}` and `{other.source}` give `{first.paths[odd[0]]}` another {name} ({len(odd)} "
                    "such images). Compare runs made from the same data."
                )
        ordered.append(same)
    return ordered


def check_same_classes(first: Predictions, other: Predictions) -> None:
    """Refuse class names or an order of classes that differ."""
    if first.classes != other.classes:
        raise PredictionsError(
            f"`{first.source}` has the classes {', '.join(first.classes)}, `{other.source}` "
            f"{', '.join(other.classes)}. Compare runs with the same classes in the same order."
        )


def compared(
    methods: Mapping[str, Sequence[Predictions]],
    *,
    seeds: Mapping[str, Sequence[int | None]] | None = None,
    families: Sequence[str] = ("confusion", "probability", "ranking"),
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[dict[str, dict[str, Difference]], list[Pair]]:
    """Return each method's mean over seeds by metric (`p` is NaN), and every pair of methods.

    ROC-AUC and average precision have no interval and no p-value where a class is of fewer than `FEW` groups.

    Args:
        methods: name → predictions, one table per seed.
        seeds: name → the seed of each table. Two methods with the same seeds in the same order are paired: the spread
            of their differences counts; any others are independent. Default: 0, 1, 2, …
        families: which metrics (`danil.statistics.scorer`).
        resamples: draws of groups, the same for all tables.
        seed: of the draws.

    Raises:
        PredictionsError: fewer than two methods, or tables on different images.
    """
    if len(methods) < 2 or not all(methods.values()):
        raise PredictionsError(
            f"{len(methods)} method(s) given ({', '.join(methods)}); a comparison needs two or more."
        )
    names = [name for name, tables in methods.items() for _ in tables]
    tables = aligned([table for group in methods.values() for table in group])
    found = bootstrap(tables, resamples=resamples, seed=seed, families=families)
    groups = len(set(tables[0].groups))
    metrics = [metric for metric in found[0] if not metric.startswith("class_")]
    rows = {name: [row for row, owner in enumerate(names) if owner == name] for name in methods}
    trained = seeds or {name: range(len(found)) for name, found in rows.items()}
    rarest = rarest_groups(class_groups(tables[0]))

    def stack(name: str, metric: str) -> Bootstrap:
        chosen = [found[row][metric] for row in rows[name]]
        return Bootstrap(np.array([one.point for one in chosen]), np.stack([one.samples for one in chosen], axis=1))

    means = {name: {key: mean(stack(name, key), groups, key, rarest) for key in metrics} for name in methods}
    pairs: list[Pair] = []
    for first, second in combinations(methods, 2):
        paired = None not in trained[first] and list(trained[first]) == list(trained[second])
        found_in = {
            key: told(key, difference(stack(first, key), stack(second, key), groups, paired), rarest) for key in metrics
        }
        p_values = [mcnemar_p(tables[a], tables[b]) for a, b in zip(rows[first], rows[second], strict=False)]
        pairs.append(Pair(first, second, (len(rows[first]), len(rows[second])), paired, found_in, p_values))
    return means, holm(pairs, metrics)


def mean(values: Bootstrap, groups: int, metric: str, rarest: int) -> Difference:
    """Return a method's mean over seeds; the interval of one training's area is that of `danil evaluate`."""
    if metric in RANKED and len(values.point) == 1:
        low, high = Bootstrap(values.point[0], values.samples[:, 0]).area_interval(rarest)
        return Difference(float(values.point[0]), low, high, np.nan)
    return told(metric, method_mean(values, groups, metric), rarest)


def told(metric: str, found: Difference, rarest: int) -> Difference:
    """Return the value alone for a metric that ranks, where the rarest class is of fewer than `FEW` groups."""
    return Difference(found.value, np.nan, np.nan, np.nan) if metric in RANKED and rarest < FEW else found


def mcnemar_p(first: Predictions, second: Predictions) -> float:
    """Return McNemar's p-value that both are right equally often: exact below 25 discordant images, else χ².

    It takes every image as independent: where groups hold several images, prefer the bootstrap's interval.
    """
    right, other = first.found == first.labels, second.found == second.labels
    table = [[int((right & other).sum()), int((right & ~other).sum())], [int((~right & other).sum()), 0]]
    discordant = table[0][1] + table[1][0]
    if not discordant:
        return 1.0
    test = mcnemar(table, exact=discordant < 25, correction=True)
    return float(test.pvalue)  # pyright: ignore[reportAttributeAccessIssue]


def holm(pairs: Sequence[Pair], metrics: Sequence[str]) -> list[Pair]:
    """Return the pairs with p-values corrected after Holm over all pairs, within each metric."""
    corrected: list[dict[str, Difference]] = [{} for _ in pairs]
    for metric in metrics:
        values = holm_corrected([pair.differences[metric].p for pair in pairs])
        for place, pair in enumerate(pairs):
            old = pair.differences[metric]
            corrected[place][metric] = Difference(old.value, old.low, old.high, old.p, float(values[place]))
    return [
        Pair(pair.first, pair.second, pair.seeds, pair.paired, differences, pair.mcnemar)
        for pair, differences in zip(pairs, corrected, strict=True)
    ]


def verdict(pair: Pair, metric: str = "macro_f1", pairs: int = 1, level: float = LEVEL) -> str:
    """Return the comparison in one sentence.

    A method is called better only where both have `ENOUGH` seeds and Holm's p-value is below 1 − level.
    """
    found = pair.differences[metric]
    name = metric.replace("_f1", "-F1").replace("_", " ")
    first, second = pair.seeds
    seeds = f"{first} seed{'' if first == 1 else 's'}" if first == second else f"{first} and {second} seeds"
    alone = " (chance in training not included)" if min(pair.seeds) < 2 else ""
    if np.isnan(found.low):
        return (
            f"no verdict: the difference in {name} has no interval (a class of few groups, one group only, or "
            f"resamples that all agree or do not define it), {seeds}"
        )
    span = f"Δ {name} {signed(found.value)} [{signed(found.low)}, {signed(found.high)}], {seeds}{alone}"
    if min(pair.seeds) < ENOUGH:
        return f"no verdict on the methods from fewer than {ENOUGH} seeds each: {span}"
    if not found.p_holm < 1 - level:
        covered = found.low <= 0 <= found.high
        return f"no difference shown: {span}" + ("" if covered else f"; not significant after Holm over {pairs} pairs")
    better = (found.value > 0) != (metric in LOWER_IS_BETTER)
    winner, loser = (pair.first, pair.second) if better else (pair.second, pair.first)
    correction = f" (Holm, {pairs} pairs)" if pairs > 1 else ""
    return f"{winner} is better than {loser}: {span}, p = {found.p_holm:.2g}{correction}"


def signed(value: float) -> str:
    """Return three decimals with a sign, a true minus."""
    return f"{value:+.3f}".replace("-", "−")
