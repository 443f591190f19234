"""What copies among a set's images mean, in sentences with advice."""

from collections.abc import Iterator

from danil.data.audit_copies import CopySet, ExactDuplicates, NearDuplicates
from danil.data.finding import Finding
from danil.data.manifest import plural


def exact_findings(found: ExactDuplicates) -> Iterator[Finding]:
    """Yield what identical images mean."""
    if not found.groups:
        return
    yield from faults("exact_duplicates", "identical images", found)
    same = f"; in {found.same_file:,} of the sets the files are the same byte for byte" if found.same_file else ""
    sentence = f"{plural(found.groups, 'set')} of identical images ({plural(found.files, 'file')}){same}"
    yield kept_together("exact_duplicates", sentence, found.sets) or Finding(
        "exact_duplicates", "warning", f"{sentence}.", exact_advice([one for one in found.sets if apart(one)])
    )


def exact_advice(sets: list[CopySet]) -> str:
    """Return what to do about sets of identical images that lie in several groups."""
    by_bytes = sum(one.same_file for one in sets)
    column = "name one group for each set in a group column (the JSON lists the sets)"
    if not by_bytes:
        return f"Keep one image of each set, or {column}; `groups=identical` compares bytes and finds none of them."
    if by_bytes == len(sets):
        return (
            "Keep one image of each set, or give all of a set one group by `?groups=identical` behind the data source, "
            "so that a split keeps them together."
        )
    return (
        f"Keep one image of each set, or {column}. `?groups=identical` behind the data source groups files of equal "
        f"bytes alone: {by_bytes:,} of these {len(sets):,} sets."
    )


def near_findings(found: NearDuplicates) -> Iterator[Finding]:
    """Yield what near-identical images mean."""
    if not found.groups:
        return
    yield from faults("near_duplicates", "near-identical images", found)
    sentence = (
        f"{plural(found.groups, 'set')} of near-identical images ({plural(found.files, 'file')}): the same picture "
        "re-encoded, resized, cropped or exposed differently"
    )
    yield kept_together("near_duplicates", sentence, found.sets) or Finding(
        "near_duplicates",
        "warning",
        f"{sentence}.",
        "Look at them; keep one of each set, or name one group for each set in a group column (the JSON lists the "
        "sets).",
    )


def kept_together(check: str, sentence: str, sets: list[CopySet]) -> Finding | None:
    """Return a note where no set lies in several groups, so that a split by group keeps all together."""
    if any(map(apart, sets)):
        return None
    advice = "A split by group keeps them together; each still counts in scores: keep one of each set to count it once."
    return Finding(check, "note", f"{sentence}; each set lies in one group.", advice)


def apart(one: CopySet) -> bool:
    """Tell whether copies lie in several groups; where no groups are known, each image is its own."""
    return len(set(one.groups)) > 1


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
