"""The report of an audit: one HTML page, the offending pictures side by side."""

from collections.abc import Sequence
from pathlib import Path

from danil.data.audit import Audit
from danil.data.audit_columns import Column
from danil.data.manifest import Manifest, plural
from danil.report.audit_cards import CopyCard, copy_cards
from danil.report.card import Facts, TextTable
from danil.report.page import number, percent, write_page

BUDGET = 3_500_000
"""Bytes that pictures may take, so that a page stays below 5 MB."""

CONTENTS = (
    ("summary", "Summary"),
    ("classes", "Classes and parts"),
    ("groups", "Divided groups"),
    ("exact", "Identical images"),
    ("near", "Near-identical images"),
    ("files", "Image files"),
    ("columns", "Metadata"),
    ("provenance", "Provenance"),
)


def write_audit_report(found: Audit, manifest: Manifest, path: str | Path) -> Path:
    """Write the page of an audit and return its path.

    Sets of copies with conflicting labels or across the split come first; fewer are shown where their pictures would
    exceed 3.5 MB. The audit's JSON has all.

    Args:
        found: what the audit found.
        manifest: the set that was audited, for its pictures.
        path: where the page goes.
    """
    exact, near = cards(found, manifest)
    shown = {
        "groups": found.group_overlap.examples,
        "exact": exact,
        "near": near,
        "files": found.image_files,
        "columns": found.columns,
    }
    return write_page(
        path,
        "audit.html.j2",
        title=f"Audit of {found.source}",
        subtitle=f"{plural(found.images, 'image')}, {plural(len(found.classes.counts), 'class')} of "
        f"{found.classes.task}",
        contents=[item for item in CONTENTS if shown.get(item[0], True)],
        audit=found,
        verdict=verdict(found),
        tiles=tiles(found),
        classes=class_table(found),
        groups=group_table(found),
        exact=exact,
        near=near,
        files=file_facts(found),
        columns=column_table(found),
        provenance=provenance(found),
    )


def cards(found: Audit, manifest: Manifest) -> tuple[list[CopyCard], list[CopyCard]]:
    """Return the cards of identical and of near-identical images; each kind leaves the other half of the bytes."""
    if found.exact_duplicates is None or found.near_duplicates is None:
        return [], []
    likeness: dict[str, float] = {}
    for pair in found.near_duplicates.found:
        for path in pair.paths:
            likeness[path] = max(likeness.get(path, 0.0), pair.similarity)
    exact = copy_cards(manifest, found.exact_duplicates.sets, "identical images", BUDGET // 2)
    near = copy_cards(manifest, found.near_duplicates.sets, "near-identical images", BUDGET // 2, likeness)
    return exact, near


def verdict(found: Audit) -> str:
    """Return the audit's result in plain words."""
    seen = "Only the metadata were examined, no image." if found.metadata_only else "Every image was examined."
    if found.errors:
        return f"{plural(found.errors, 'finding')} would make results on these data wrong; see below. {seen}"
    warned = f"; {plural(found.warnings, 'warning')}" if found.warnings else ""
    return f"Nothing was found that would make results on these data wrong{warned}. {seen}"


def tiles(found: Audit) -> list[tuple[str, str, str]]:
    """Return the figures at the top: name, value, note."""
    overlap, drawn = found.group_overlap, found.random_split
    shown = [("Images", f"{found.images:,}", f"{len(found.classes.counts)} classes of {found.classes.task}")]
    if overlap.share is not None:
        shown.append(("Test images with a sibling in training", percent(overlap.share), split_name(found)))
    elif drawn is not None:
        shown.append(("Test images with a sibling in training", percent(drawn.share), "if split at random, 7 to 3"))
    exact, near = found.exact_duplicates, found.near_duplicates
    if exact is not None and near is not None and found.image_files is not None:
        shown += [
            ("Unreadable", f"{len(found.image_files.unreadable):,}", "files"),
            ("Sets of identical images", f"{exact.groups:,}", f"{exact.conflicting} with different labels"),
            ("Sets of near-identical images", f"{near.groups:,}", f"{near.conflicting} with different labels"),
        ]
    return shown


def split_name(found: Audit) -> str:
    """Return which split was examined, in words."""
    names = {"official": "the set's own split", "none": "no split"}
    return names.get(found.split.origin, f"split {Path(found.split.file or '').name}")


def class_table(found: Audit) -> TextTable:
    """Return the images of each class, and of each class and part where there is a split."""
    counts, total = found.classes.counts, max(1, sum(found.classes.counts.values()))
    parts = found.split.class_counts.values()
    rows = [
        [name, *(f"{held[name]:,}" for held in parts), f"{count:,}", percent(count / total)]
        for name, count in counts.items()
    ]
    return TextTable("Images per class and part", ["class", *found.split.parts, "all", "share"], rows)


def group_table(found: Audit) -> TextTable | None:
    """Return the first groups that lie in more than one part, with their images."""
    examples, parts = found.group_overlap.examples, list(found.split.parts)
    if not examples:
        return None
    rows = [[name, *(str(counts.get(part, 0)) for part in parts)] for name, counts in examples.items()]
    return TextTable("Groups in more than one part, and their images", ["group", *parts], rows)


def file_facts(found: Audit) -> Facts:
    """Return sizes, modes, formats and odd files as pairs of name and text."""
    files = found.image_files
    if files is None:
        return []
    unreadable = [f"{fault.path} {fault.reason}" for fault in files.unreadable]
    tallies = (("Sizes", files.sizes), ("Modes", files.modes), ("Formats", files.formats))
    facts = [(name, some([f"{key}: {count:,}" for key, count in counts.items()])) for name, counts in tallies]
    return [*facts, ("Unreadable", some(unreadable) or "none"), ("One even colour", some(files.uniform) or "none")]


def some(texts: Sequence[str], limit: int = 12) -> str:
    """Return the first texts, and how many more there are."""
    return "; ".join(texts[:limit]) + (f" … and {len(texts) - limit:,} more" if len(texts) > limit else "")


def column_table(found: Audit) -> TextTable | None:
    """Return a row per column, the most telling first."""
    if not found.columns:
        return None
    rows = [column_row(name, column) for name, column in found.columns.items()]
    head = ["column", "kind", "values", "label explained", "accuracy", "(majority)", "balanced accuracy", "(chance)"]
    return TextTable("How well each column alone tells the label", head, rows)


def column_row(name: str, column: Column) -> list[str]:
    """Return one column's row."""
    return [
        name,
        column.kind,
        f"{column.values:,}",
        percent(column.explained),
        percent(column.accuracy),
        percent(column.majority),
        number(column.balanced_accuracy),
        number(column.chance),
    ]


def provenance(found: Audit) -> Facts:
    """Return what was examined."""
    return [
        ("Source", found.source),
        ("Digest", found.digest),
        ("Split", split_name(found)),
        ("Groups", "known" if found.grouped else "not known: every image counts as its own group"),
    ]
