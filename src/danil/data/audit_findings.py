"""What an audit's numbers mean, in sentences with advice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from danil.data.audit_columns import Column
from danil.data.audit_copies import CopySet, ExactDuplicates, NearDuplicates
from danil.data.audit_images import ImageFiles
from danil.data.audit_split import Classes, GroupOverlap, Parts, RandomSplit
from danil.data.manifest import alike, counted, plural

Severity = Literal["error", "warning", "note"]
SEVERITIES = ("error", "warning", "note")
TINY = 10
UNEVEN = 10
TELLING = 0.15


@dataclass(frozen=True)
class Finding:
    """Hold one finding: the check's name, how bad it is, what was found, and what to do.

    An `error` makes results on these data wrong; a `warning` may; a `note` is worth knowing.
    """

    check: str
    severity: Severity
    sentence: str
    advice: str


def findings(
    files: ImageFiles | None,
    exact: ExactDuplicates | None,
    near: NearDuplicates | None,
    classes: Classes,
    parts: Parts,
    overlap: GroupOverlap,
    drawn: RandomSplit | None,
    columns: Mapping[str, Column],
) -> list[Finding]:
    """Return all findings, errors first."""
    found = [
        *(image_findings(files) if files else ()),
        *(exact_findings(exact) if exact else ()),
        *(near_findings(near) if near else ()),
        *split_findings(parts, overlap, drawn),
        *class_findings(classes),
        *column_findings(columns, classes),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def image_findings(found: ImageFiles) -> Iterator[Finding]:
    """Yield images that cannot be used."""
    if found.unreadable:
        first = found.unreadable[0]
        yield Finding(
            "unreadable",
            "error",
            f"{plural(len(found.unreadable), 'image')} cannot be read (e.g. `{first.path}`: {first.reason})",
            "Repair or remove them, or train with `--skip-bad`.",
        )
    if found.uniform:
        yield Finding(
            "uniform",
            "warning",
            f"{plural(len(found.uniform), 'image')} of one even colour (e.g. `{found.uniform[0]}`).",
            "They show nothing: remove them.",
        )


def exact_findings(found: ExactDuplicates) -> Iterator[Finding]:
    """Yield what identical images mean."""
    if not found.groups:
        return
    yield from faults("exact_duplicates", "identical images", found)
    same = f"; in {found.same_file:,} of the sets the files are the same byte for byte" if found.same_file else ""
    yield Finding(
        "exact_duplicates",
        "warning",
        f"{plural(found.groups, 'set')} of identical images ({plural(found.files, 'file')}){same}.",
        "Keep one image of each set, or give all of a set one group (`groups=identical`), so that a split keeps them "
        "together.",
    )


def near_findings(found: NearDuplicates) -> Iterator[Finding]:
    """Yield what near-identical images mean."""
    if not found.groups:
        return
    yield from faults("near_duplicates", "near-identical images", found)
    yield Finding(
        "near_duplicates",
        "warning",
        f"{plural(found.groups, 'set')} of near-identical images ({plural(found.files, 'file')}): the same picture "
        "re-encoded, resized, cropped or exposed differently.",
        "Look at them; keep one of each set, or give them the same group.",
    )


def faults(check: str, what: str, found: ExactDuplicates | NearDuplicates) -> Iterator[Finding]:
    """Yield what is wrong with sets of copies."""
    if found.conflicting:
        tasks = sorted({task for one in found.sets for task in one.conflicting_tasks})
        yield Finding(
            check,
            "error",
            f"{plural(found.conflicting, 'set')} of {what} with different labels ({', '.join(tasks)}; "
            f"e.g. {example(found.sets, 'conflicting')}).",
            "At least one label of each such set is wrong: correct it, or leave the whole set out.",
        )
    if found.across_split:
        yield Finding(
            check,
            "error",
            f"{plural(found.across_split, 'set')} of {what} in more than one part of the split "
            f"(e.g. {example(found.sets, 'across_split')}).",
            "A network is tested on what it has seen: leave the copies out of training, or make a new split by group.",
        )
    if found.across_groups:
        yield Finding(
            check,
            "warning",
            f"{plural(found.across_groups, 'set')} of {what} in different groups "
            f"(e.g. {example(found.sets, 'across_groups')}).",
            "A grouped split may part them: give them one group.",
        )


def example(sets: list[CopySet], fault: str) -> str:
    """Return the first two images of the first set with a fault."""
    first = next(one for one in sets if getattr(one, fault))
    return " and ".join(f"`{path}`" for path in first.paths[:2])


def split_findings(parts: Parts, overlap: GroupOverlap, drawn: RandomSplit | None) -> Iterator[Finding]:
    """Yield what is wrong with the split, or what a random one would do."""
    if overlap.groups:
        first = next(iter(overlap.examples))
        shared = (
            f"; {overlap.shared_images:,} of {overlap.test_images:,} test images ({100 * (overlap.share or 0):.1f} %) "
            "have a sibling in training or validation"
            if overlap.test_images
            else ""
        )
        yield Finding(
            "group_overlap",
            "error",
            f"{plural(overlap.groups, 'group')} (patients, lesions …) in more than one part (e.g. `{first}`){shared}.",
            "Results would be too good: make a split by `danil split --kind grouped`.",
        )
    for part, names in parts.missing_classes.items():
        yield Finding(
            "missing_classes",
            "error" if part == "train" else "warning",
            f"The {part} part has no image of {counted(names, 'class')}.",
            "The class cannot be learned: move images there."
            if part == "train"
            else "Nothing can be said about the class there: move images, or merge the class.",
        )
    if drawn is not None and parts.origin == "none":
        yield Finding(
            "random_split",
            "warning",
            f"A random 7:3 split of single images would put a sibling of {100 * drawn.share:.1f} % of the test images "
            f"into training ({100 * drawn.low:.1f}–{100 * drawn.high:.1f} % in {drawn.draws} draws).",
            "Split by group: `danil split --kind grouped`.",
        )
    if not overlap.grouped:
        yield Finding(
            "group_overlap",
            "note",
            "No groups (patients, lesions …) are known, so images of one patient may lie on both sides of a split.",
            "If they are known, name them: `csv:FILE?group=COLUMN` or `folder:PATH?group=REGEX`.",
        )


def class_findings(found: Classes) -> Iterator[Finding]:
    """Yield what is odd about the classes."""
    counts = found.counts
    empty = [name for name, count in counts.items() if not count]
    tiny = [name for name, count in counts.items() if 0 < count < TINY]
    for spellings in alike(counts):
        yield Finding(
            "class_names",
            "warning",
            f"{counted(spellings, 'class')} differ only in letter case or in how a number is written.",
            "If they are one class, give them one spelling in the table, or put their folders together.",
        )
    if empty:
        yield Finding("class_counts", "warning", f"No image of {counted(empty, 'class')}.", "Leave the class out.")
    if tiny:
        yield Finding(
            "class_counts",
            "warning",
            f"Fewer than {TINY} images of {counted(tiny, 'class')}.",
            "Scores of so few images mean little: collect more, or merge the class with another.",
        )
    if found.imbalance is not None and found.imbalance >= UNEVEN:
        most, least = (
            max(counts, key=lambda name: counts[name]),
            min(filter(counts.get, counts), key=counts.__getitem__),
        )
        yield Finding(
            "class_counts",
            "note",
            f"`{most}` has {found.imbalance:.0f} times as many images as `{least}`.",
            "Judge by macro-F1 or balanced accuracy, and balance the classes in training.",
        )
    if found.unlabelled:
        yield Finding(
            "unlabelled", "note", f"{plural(found.unlabelled, 'image')} without a label.", "They train nothing."
        )


def column_findings(columns: Mapping[str, Column], classes: Classes) -> Iterator[Finding]:
    """Yield the columns that tell at least `TELLING` of the label, by entropy or, beyond noise, balanced accuracy."""
    present = [count for count in classes.counts.values() if count]
    chance = 1 / max(2, len(present))
    noise = 3 * (sum(chance * (1 - chance) / count for count in present) ** 0.5) / max(1, len(present)) / (1 - chance)
    for name, column in columns.items():
        if column.advantage is None or column.explained is None:
            continue
        if column.explained < TELLING and column.advantage < max(TELLING, noise):
            continue
        pure = [f"`{value}` is always `{label}`" for value, label in (column.pure or {}).items()]
        yield Finding(
            "columns",
            "warning",
            f"`{name}` alone tells the label with a balanced accuracy of {column.balanced_accuracy:.2f} (chance "
            f"{column.chance:.2f}) and explains {100 * max(0.0, column.explained):.0f} % of its entropy"
            + (f"; {', '.join(pure[:3])}." if pure else "."),
            "Never give it to a model as an input, and check that the images do not show it (marks, rulers, borders).",
        )
