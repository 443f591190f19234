"""The gallery: response maps of test images, the most confidently wrong first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from danil.report.drawing import map_uri, photo_uri
from danil.report.record import Predictions
from danil.runs import FittedClassifier


@dataclass(frozen=True)
class Tile:
    """Hold one picture of a case: its data URI, its name, its alt text, and a line below it."""

    uri: str
    name: str
    alt: str
    note: str


@dataclass(frozen=True)
class Case:
    """Hold one test image with its three maps."""

    title: str
    note: str
    right: bool
    tiles: tuple[Tile, ...]


def gallery_rows(predictions: Predictions, count: int, right: int = 0) -> list[int]:
    """Return the `count` most confidently wrong images and, after them, the `right` least confidently right ones.

    Where fewer are wrong, right ones take their place; images without a label are left out.
    """
    chosen = predictions.probabilities[np.arange(len(predictions.labels)), predictions.found]
    known = np.flatnonzero(predictions.labels >= 0)
    wrong = [row for row in known if predictions.found[row] != predictions.labels[row]]
    correct = [row for row in known if predictions.found[row] == predictions.labels[row]]
    first = sorted(wrong, key=lambda row: -chosen[row])[:count]
    then = sorted(correct, key=lambda row: chosen[row])[: right + count - len(first)]
    return [int(row) for row in (*first, *then)]


def gallery_cases(
    fitted: FittedClassifier, predictions: Predictions, rows: Sequence[int], images: Sequence[Image.Image]
) -> list[Case]:
    """Return a case per row; `images` are the rows' pictures as stored."""
    names = fitted.classes
    labels = [names[predictions.labels[row]] for row in rows]
    maps = fitted.response_maps(images, labels)
    shown = fitted.display(images)
    cases: list[Case] = []
    for place, row in enumerate(rows):
        found, share = names[predictions.found[row]], float(predictions.probabilities[row].max())
        right = found == labels[place]
        rival = names[int(maps.rivals[place])]
        tiles = (
            photo_tile(shown[place], labels[place]),
            map_tile(maps.truth[place], "A⁺", f"for the label {labels[place]}"),
            map_tile(maps.rival[place], "A⁻", f"for the rival {rival}"),
            map_tile(maps.difference[place], "A⁺ − A⁻", f"{labels[place]} against {rival}"),
        )
        verb = "rightly" if right else "wrongly"
        title = f"{labels[place]}, {verb} predicted {found}" if not right else f"{labels[place]}, rightly predicted"
        note = f"{predictions.table['path'][row]} · the network gave {found} a probability of {share:.2f}"
        cases.append(Case(title, note, right, tiles))
    return cases


def photo_tile(pixels: Tensor, label: str) -> Tile:
    """Return the image as the network sees it, `(3, H, W)` uint8."""
    return Tile(photo_uri(pixels.permute(1, 2, 0).numpy()), "image", f"Test image labelled {label}", f"label: {label}")


def map_tile(values: Tensor, name: str, meaning: str) -> Tile:
    """Return a response map `(C, H, W)`, summed over the channels, at its own scale, with its norm."""
    norm = float(values.double().norm())
    alt = f"Response map {name} {meaning}: red raises, blue lowers the loss; norm {norm:.3g}"
    return Tile(map_uri(values.detach().sum(0).cpu().numpy()), name, alt, f"{meaning}; norm {norm:.3g}")
