"""What an audit's numbers mean, in sentences with advice."""

from collections.abc import Iterator, Mapping

from danil.data.audit_columns import Column
from danil.data.audit_copies import ExactDuplicates, NearDuplicates
from danil.data.audit_copy_findings import exact_findings, near_findings
from danil.data.audit_images import ImageFiles
from danil.data.audit_split import Classes, GroupOverlap, Parts, RandomSplit
from danil.data.finding import SEVERITIES, Finding
from danil.data.manifest import alike, counted, plural

TINY = 10
UNEVEN = 10
TELLING = 0.15


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
    for spellings in alike(counts):
        yield Finding(
            "class_names",
            "warning",
            f"{counted(spellings, 'class')} differ only in letter case or in how a number is written.",
            "If they are one class, give them one spelling in the table, or put their folders together.",
        )
    yield from small_classes(counts)
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


def small_classes(counts: Mapping[str, int]) -> Iterator[Finding]:
    """Yield the classes of too few images, by how few."""
    empty = [name for name, count in counts.items() if not count]
    lone = [name for name, count in counts.items() if count == 1]
    tiny = [name for name, count in counts.items() if 1 < count < TINY]
    if empty:
        yield Finding("class_counts", "warning", f"No image of {counted(empty, 'class')}.", "Leave the class out.")
    if lone:
        yield Finding(
            "class_counts",
            "error",
            f"One image only of {counted(lone, 'class')}.",
            "`danil split` and `danil train` refuse such a class: add images, or remove or merge it.",
        )
    if tiny:
        yield Finding(
            "class_counts",
            "warning",
            f"Fewer than {TINY} images of {counted(tiny, 'class')}.",
            "Scores of so few images mean little: collect more, or merge the class with another.",
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
