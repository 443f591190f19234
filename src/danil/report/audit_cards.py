"""The pictures of an audit's page: each set of copies side by side."""

import base64
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from danil.data.audit_copies import CopySet
from danil.data.decoding import ImageError
from danil.data.manifest import Manifest

ROW = 6
SIDE = 168


@dataclass(frozen=True)
class Picture:
    """Hold one picture of a set: its data URI (empty if it cannot be read), its alt text and the lines below it."""

    uri: str
    alt: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class CopyCard:
    """Hold a set of copies: its title, what is wrong with it, its first pictures, how many more there are."""

    title: str
    faults: tuple[str, ...]
    pictures: tuple[Picture, ...]
    more: int


def copy_cards(
    manifest: Manifest, sets: Iterable[CopySet], kind: str, budget: int, likeness: Mapping[str, float] | None = None
) -> list[CopyCard]:
    """Return cards of sets, the worst first, until their pictures take `budget` bytes.

    Args:
        manifest: where the pictures come from.
        sets: the sets of copies.
        kind: what the images of a set are, e.g. `identical images`.
        budget: bytes of all data URIs together.
        likeness: path → similarity to its most similar copy, told in the title; sets least alike come first then.
    """
    rated = [(min((likeness or {}).get(path, 1.0) for path in one.paths), one) for one in sets]
    rated.sort(key=lambda item: (-len(faults(item[1])), item[0], item[1].paths))
    cards: list[CopyCard] = []
    for alike, one in rated:
        pictures = tuple(picture(manifest, one, place) for place in range(min(ROW, len(one.paths))))
        budget -= sum(len(item.uri) for item in pictures)
        if budget < 0:
            break
        title = f"{len(one.paths)} {kind}" + (f", similarity {alike:.2f}" if likeness else "")
        cards.append(CopyCard(title, faults(one), pictures, max(0, len(one.paths) - ROW)))
    return cards


def faults(one: CopySet) -> tuple[str, ...]:
    """Return what is wrong with a set, in words."""
    told = (
        (one.conflicting, f"different labels ({', '.join(one.conflicting_tasks)})"),
        (one.across_split, f"in {' and '.join(sorted({part for part in one.parts if part}))}"),
        (one.across_groups, "in different groups"),
    )
    return tuple(words for wrong, words in told if wrong)


def picture(manifest: Manifest, one: CopySet, place: int) -> Picture:
    """Return one image of a set, small."""
    path = one.paths[place]
    labels = [f"{task} {names[place] or 'unknown'}" for task, names in one.labels.items()]
    part, group = one.parts[place], one.groups[place]
    lines = (path, ", ".join(labels), *([part] if part else []), *([f"group {group}"] if one.across_groups else []))
    try:
        image = manifest.store.read(path)
    except ImageError:
        return Picture("", path, lines)
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=80)
    uri = f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
    return Picture(uri, f"Image {path}: {', '.join(labels)}", lines)
