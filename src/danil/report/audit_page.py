"""The report of an audit: one HTML file, the offending pictures side by side."""

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from danil.data.audit import Audit, audit_record
from danil.data.manifest import Manifest
from danil.report.page import number, percent, write_page

SETS, PAIRS, ROW = 30, 60, 6
SIDE = 168
BUDGET = 3_500_000
"""Bytes that pictures may take, so that a page stays below 5 MB."""


@dataclass(frozen=True)
class Picture:
    """Hold one picture of a set: its data URI, its alt text and the lines below it."""

    uri: str
    alt: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class CopyCard:
    """Hold a set of duplicates: its title, what is wrong with it, its first pictures, how many more there are."""

    title: str
    faults: tuple[str, ...]
    pictures: tuple[Picture, ...]
    more: int


def write_audit_report(path: str | Path, found: Audit) -> Path:
    """Write the page of an audit and return its path.

    Sets with conflicting labels or across the split come first; at most 30 sets of identical images and 60 pairs of
    near-identical ones are shown, fewer where their pictures would exceed 3.5 MB. The JSON record has all.
    """
    record = audit_record(found)
    exact: list[CopyCard] = []
    near: list[CopyCard] = []
    if not record["metadata_only"]:
        exact = cards(found.manifest, exact_sets(record["exact_duplicates"]["sets"]), BUDGET // 2)
        near = cards(found.manifest, near_pairs(record["near_duplicates"]), BUDGET // 2)
    context: dict[str, Any] = {
        "title": f"Audit of {record['source']}",
        "record": record,
        "findings": found.findings,
        "verdict": verdict(record),
        "tiles": tiles(record),
        "classes": class_rows(found, record),
        "facts": [] if record["metadata_only"] else image_facts(record),
        "exact": exact,
        "near": near,
        "columns": column_rows(record["columns"]),
    }
    wanted = (
        ("summary", "Summary", True),
        ("data", "Classes and parts", True),
        ("images", "Images", context["facts"]),
        ("exact", "Identical images", exact),
        ("near", "Near-identical images", near),
        ("columns", "Metadata", context["columns"]),
    )
    context["contents"] = [(anchor, name) for anchor, name, there in wanted if there]
    return write_page(path, "audit.html.j2", **context)


def verdict(record: dict[str, Any]) -> str:
    """Return the audit's result in one sentence."""
    seen = "Only the metadata were examined, no image." if record["metadata_only"] else "Every image was examined."
    if record["errors"]:
        return f"{record['errors']} of the findings would make results on these data wrong. {seen}"
    return f"Nothing was found that would make results wrong; {record['warnings']} warnings. {seen}"


def tiles(record: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the figures at the top: name, value, note."""
    overlap = record["group_overlap"]
    shared = percent(overlap["share"]) if overlap["grouped"] and record["split"]["origin"] != "none" else "–"
    shown = [
        ("Images", f"{record['images']:,}", f"{len(record['class_counts'])} classes of {record['task']}"),
        ("Test images with siblings in training", shared, record["split"]["description"]),
    ]
    if not record["metadata_only"]:
        exact, near = record["exact_duplicates"], record["near_duplicates"]
        shown += [
            ("Unreadable", str(record["unreadable"]["files"]), "files"),
            ("Sets of identical images", str(exact["groups"]), f"{exact['conflicting']} with different labels"),
            ("Sets of near-identical images", str(near["groups"]), f"{near['conflicting']} with different labels"),
        ]
    return shown


def class_rows(found: Audit, record: dict[str, Any]) -> list[list[str]]:
    """Return a row per class: name, images, share, images per part."""
    table, total = found.manifest.table, max(1, sum(record["class_counts"].values()))
    parts = [part for part, count in record["split"]["parts"].items() if count]
    rows = [["class", "images", "share", *parts]]
    for name, count in record["class_counts"].items():
        own = table["split"][table[found.manifest.task] == name]
        rows.append([name, f"{count:,}", percent(count / total), *(f"{(own == part).sum():,}" for part in parts)])
    return rows


def image_facts(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Return sizes, modes, formats and unreadable files as pairs of name and text."""
    facts = [(name, counts(record[name])) for name in ("sizes", "modes", "formats")]
    faults = [f"{fault['path']} {fault['reason']}" for fault in record["unreadable"]["images"]]
    facts.append(("unreadable", some(faults) or "none"))
    return [*facts, ("nearly uniform", some(record["flat"]["paths"]) or "none")]


def counts(values: dict[str, int]) -> str:
    """Return counts as text, the most frequent first."""
    return some([f"{name or 'unknown'}: {count:,}" for name, count in values.items()])


def some(texts: Sequence[str], limit: int = 12) -> str:
    """Return the first texts, and how many more there are."""
    return "; ".join(texts[:limit]) + (f" … and {len(texts) - limit} more" if len(texts) > limit else "")


def column_rows(columns: dict[str, Any]) -> list[list[str]]:
    """Return a row per column, the most telling first."""
    head = ["column", "of the label told", "accuracy", "largest class", "balanced accuracy", "chance"]
    told = sorted(columns.items(), key=lambda item: -item[1]["explained"])
    return [head] * bool(told) + [
        [
            name,
            percent(value["explained"]),
            percent(value["accuracy"]),
            percent(value["majority"]),
            number(value["balanced_accuracy"]),
            number(value["chance"]),
        ]
        for name, value in told
    ]


Shown = tuple[str, tuple[str, ...], list[tuple[str, Any, Any]]]


def exact_sets(sets: Sequence[dict[str, Any]]) -> list[Shown]:
    """Return the sets to show, the worst first: title, faults, and path, label and part of each image."""
    worst = sorted(sets, key=lambda one: -(one["conflicting"] + one["across_split"]))
    return [
        (
            f"{len(one['paths'])} identical images",
            faults(one),
            list(zip(*map(one.get, ("paths", "labels", "parts")), strict=True)),
        )
        for one in worst[:SETS]
    ]


def near_pairs(record: dict[str, Any]) -> list[Shown]:
    """Return the pairs to show, those of conflicting labels or parts first, then the least sure ones last."""
    members = {
        path: (label, part, one)
        for one in record["sets"]
        for path, label, part in zip(one["paths"], one["labels"], one["parts"], strict=True)
    }
    shown: list[tuple[int, Shown]] = []
    for pair in record["alike"]:
        (one, part, _), (other, second, _) = (members[path] for path in pair["paths"])
        both = {
            "conflicting": None not in (one, other) and one != other,
            "across_split": part != second and "test" in (part, second),
        }
        images = [(path, *members[path][:2]) for path in pair["paths"]]
        shown.append((-sum(both.values()), (f"similarity {pair['similarity']:.2f}", faults(both), images)))
    return [one for _, one in sorted(shown, key=lambda item: item[0])][:PAIRS]


def faults(one: dict[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with a set, in words."""
    told = (("conflicting", "different labels"), ("across_split", "in test and another part"))
    return tuple(words for key, words in told if one[key])


def cards(manifest: Manifest, shown: Iterable[Shown], budget: int) -> list[CopyCard]:
    """Return cards with pictures until the budget of bytes is spent."""
    made: list[CopyCard] = []
    for title, wrong, images in shown:
        pictures = tuple(picture(manifest, *image) for image in images[:ROW])
        budget -= sum(len(item.uri) for item in pictures)
        if budget < 0:
            break
        made.append(CopyCard(title, wrong, pictures, max(0, len(images) - ROW)))
    return made


def picture(manifest: Manifest, path: str, label: str | None, part: str | None) -> Picture:
    """Return one image of the data set, small."""
    image: Image.Image = manifest.store.read(path)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    uri = f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
    named = f"label {label}" if label is not None else "no label"
    return Picture(uri, f"{path}, {named}", (path, named, *([part] if part else [])))
