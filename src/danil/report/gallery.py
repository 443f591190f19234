"""The gallery: response maps of test images, the most confidently wrong first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from danil.explanation.figures import MapStyle, limit_of, picture_of
from danil.report.drawing import map_uri, photo_uri
from danil.runs import FittedClassifier
from danil.statistics.predictions import Predictions


@dataclass(frozen=True)
class Tile:
    """Hold one picture of a case: its data URI, its alt text, its name and the lines below it."""

    uri: str
    alt: str
    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """Hold one test image with its three maps: its path, its label, what was predicted and with which probability."""

    note: str
    label: str
    found: str
    share: float
    tiles: tuple[Tile, ...]

    @property
    def right(self) -> bool:
        """Tell whether the prediction is right."""
        return self.found == self.label


def gallery_rows(predictions: Predictions, count: int) -> list[int]:
    """Return the `count` most confidently wrong images; where fewer are wrong, the least confidently right ones follow.

    Images without a label are left out.
    """
    chosen = predictions.probabilities[np.arange(len(predictions.labels)), predictions.found]
    known = np.flatnonzero(predictions.labels >= 0)
    wrong = [row for row in known if predictions.found[row] != predictions.labels[row]]
    correct = [row for row in known if predictions.found[row] == predictions.labels[row]]
    first = sorted(wrong, key=lambda row: -chosen[row])[:count]
    then = sorted(correct, key=lambda row: chosen[row])[: count - len(first)]
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
        rival = names[int(maps.rivals[place])]
        tiles = (
            photo_tile(shown[place], labels[place], found),
            map_tile(maps.truth[place], "A⁺", labels[place]),
            map_tile(maps.rival[place], "A⁻", rival),
            map_tile(maps.difference[place], "A⁺ − A⁻", f"{labels[place]} − {rival}"),
        )
        cases.append(Case(str(predictions.paths[row]), labels[place], found, share, tiles))
    return cases


def photo_tile(pixels: Tensor, label: str, found: str) -> Tile:
    """Return the image as the network sees it, `(3, H, W)` uint8."""
    alt = f"Test image, label {label}, predicted {found}"
    return Tile(photo_uri(pixels.permute(1, 2, 0).cpu().numpy()), alt, "Image", (f"label {label}",))


def map_tile(response: Tensor, name: str, classes: str) -> Tile:
    """Return a response map `(C, H, W)`, summed over channels, at its own scale, with its norm."""
    style = MapStyle()
    picture = picture_of(response, style)
    norm = f"norm {float(response.double().norm()):.2g}"
    alt = f"Response map {name} for {classes}, {norm}"
    return Tile(map_uri(picture, limit_of(picture, style.clip)), alt, name, (classes, norm))
