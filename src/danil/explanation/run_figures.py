"""Figures of a run: response maps of given images or of the most confidently wrong ones, and look-alikes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from danil.data.synthetic import Masks, SyntheticImages
from danil.explanation.figures import MapStyle, check_targets, checked_kind, response_figure, write_figure
from danil.explanation.look_alikes import look_alikes, look_alikes_figure
from danil.explanation.map_methods import TITLES, check_methods, further_maps
from danil.explanation.run_scores import seen_mask
from danil.explanation.selection import confidently_wrong, least_certain
from danil.objectives import response_maps
from danil.objectives.margins import strongest_rivals
from danil.runs import FittedClassifier, RunError, RunFolder, kept_memory, open_run, run_manifest
from danil.runs.classifier import Picture, picture
from danil.runs.record import check_classes, check_columns
from danil.statistics.tables import read_predictions

BATCH = 8


@dataclass(frozen=True)
class Case:
    """Hold one image to explain, under which name, and its class name and pixel masks where those are known."""

    name: str
    image: Picture
    label: str | None
    masks: Masks | None = None


@kept_memory()
def explain_run(
    run: str | Path,
    images: Sequence[str | Path] = (),
    *,
    out: str | Path | None = None,
    count: int = 8,
    data: str | None = None,
    absolute: bool = False,
    smooth: float = 0.0,
    overlay: bool = False,
    methods: Sequence[str] = (),
    kind: str = "png",
    layer: str | None = None,
    masks: bool = False,
) -> list[Path]:
    """Write a figure like the paper's Fig. 3 for each image and return the files' paths.

    Without `images` the most confidently wrong test images are taken, then the least certain right ones.
    An image that is not among the run's own has no known label: the prediction takes the label's place, and says so.

    Args:
        run: a run folder.
        images: image files.
        out: where figures go, the run's `figures/` by default.
        count: how many images, where none are given.
        data: the run's data, where they have moved to.
        absolute: show magnitudes instead of signed maps.
        smooth: σ of a Gaussian over the maps, in pixels.
        overlay: lay the maps over the image in grey.
        methods: further maps: `integrated_gradients`, `grad_cam`, `occlusion`, `contribution`, and `attention` (CANet).
        kind: `png`, `svg` or `pdf`.
        layer: take response maps at the output of the module of this name, e.g. `backbone.blocks.4`, not at the image.
        masks: outline evidence and distractors on test images of synthetic data.

    Raises:
        RunError: the run has no weights, or no predictions and no `images` are given.
        ImageError: an image cannot be read; nothing has been written then.
        OutputError: a figure has the name of a file in `out` that is none.
        AttributionError, LayerError: `methods`, `kind` or `layer` is none of the known ones.
    """
    checked_kind(kind)
    check_methods(methods, layer)
    style = MapStyle(signed=not absolute, smoothing=smooth, overlay=overlay)
    folder, fitted = RunFolder(Path(run)), open_run(run)
    cases = given_cases(folder, fitted, images, data) if images else wrong_cases(folder, count, data, masks)
    target = folder.figures if out is None else Path(out)
    files = [target / f"{place:02d}_{Path(case.name).stem}.{kind}" for place, case in enumerate(cases, start=1)]
    check_targets(dict.fromkeys(files, "figure"))
    for start in range(0, len(cases), BATCH):
        part = slice(start, start + BATCH)
        case_figures(fitted, cases[part], files[part], style, methods, layer)
    return files


def given_cases(
    folder: RunFolder, fitted: FittedClassifier, files: Sequence[str | Path], data: str | None
) -> list[Case]:
    """Return the files as cases, with the labels of those that the run's manifest names."""
    root = folder.record()["root"] if data is None else run_manifest(folder, data).root
    labels: dict[str, str] = {}
    if root is not None and folder.manifest.is_file():
        table = read_table(folder, ["path", fitted.task])
        labels = dict(zip(table["path"], table[fitted.task], strict=True))
    cases: list[Case] = []
    for file in map(Path, files):
        place = file.resolve()
        base = Path(root).resolve() if root is not None else None
        inside = place.relative_to(base).as_posix() if base is not None and place.is_relative_to(base) else ""
        shown = fitted.picture(file)
        cases.append(Case(str(file), shown, labels.get(inside) or None))
    return cases


def read_table(folder: RunFolder, columns: Sequence[str]) -> pd.DataFrame:
    """Return the run's manifest as text, which has these columns."""
    try:
        table = pd.read_csv(folder.manifest, dtype="string", keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RunError(f"`{folder.manifest}` cannot be read: {error}. Restore it from a copy of the run.") from error
    check_columns(table, folder.manifest, columns)
    return table


def wrong_cases(folder: RunFolder, count: int, data: str | None, masked: bool = False) -> list[Case]:
    """Return the most confidently wrong test images, then the least certain right ones; with masks where there are."""
    if not folder.predictions.is_file():
        if "test" not in set(read_table(folder, ["split"])["split"]):
            raise RunError(
                f"`{folder.path}` has no test part (`split.test=0`) to choose images from. Name images to explain: "
                f"`danil explain {folder.path} IMAGE …`."
            )
        raise RunError(
            f"`{folder.path}` has no predictions to choose images from. Name images, or finish the run: "
            f"`danil train … --out {folder.path} --resume`."
        )
    predictions = read_predictions(folder.predictions)
    check_classes(predictions.classes, next(iter(folder.record()["tasks"].values())), folder.predictions)
    table = predictions.table()
    chosen = confidently_wrong(table, count)
    chosen = pd.concat([chosen, least_certain(table, count - len(chosen))])
    if count and not len(chosen):
        raise RunError(f"`{folder.path}` has no test image with a label. Name images: `danil explain … IMAGE …`.")
    store = run_manifest(folder, data).store
    synthetic = store if masked and isinstance(store, SyntheticImages) else None
    return [
        Case(path, store.read(path), label, synthetic.masks(path) if synthetic is not None else None)
        for path, label in zip(map(str, chosen["path"]), map(str, chosen["label"]), strict=True)
    ]


def case_figures(
    fitted: FittedClassifier,
    cases: Sequence[Case],
    files: Sequence[Path],
    style: MapStyle,
    methods: Sequence[str],
    layer: str | None = None,
) -> None:
    """Write one batch of figures, each to its file."""
    display = fitted.display([case.image for case in cases])
    prepared, shares = fitted.normalize(display), fitted.shares(display)
    labels = case_labels(fitted, cases, shares)
    chosen = (each.to(prepared.device) for each in (labels, strongest_rivals(shares, labels)))
    maps = response_maps(fitted.model, prepared, *chosen, task=fitted.task, layer=layer)
    further = further_maps(fitted, prepared, labels.to(prepared.device), maps, methods)
    for row, (case, file) in enumerate(zip(cases, files, strict=True)):
        one = slice(row, row + 1)
        figure = response_figure(
            display[one],
            type(maps)(*(getattr(maps, field)[one] for field in ("truth", "rival", "difference", "rivals", "logits"))),
            labels[one],
            fitted.classes,
            style=style,
            names=[Path(case.name).name],
            known=case.label is not None,
            shares=shares[one],
            further={TITLES[name]: values[one] for name, values in further.items()},
            source="x" if layer is None else ".".join(layer.split(".")[-2:]),
            masks=None
            if case.masks is None
            else torch.stack([seen_mask(fitted, mask, picture(case.image)) for mask in case.masks])[None],
        )
        write_figure(file, figure)


def case_labels(fitted: FittedClassifier, cases: Sequence[Case], shares: Tensor) -> Tensor:
    """Return the class index of each case, the predicted one where no label of the run's classes is known."""
    found = shares.argmax(1)
    for row, case in enumerate(cases):
        if case.label is not None:
            found[row] = fitted.classes.index(case.label)
    return found


@kept_memory()
def look_alikes_run(
    run: str | Path, *, out: str | Path | None = None, count: int = 4, data: str | None = None, kind: str = "png"
) -> Path:
    """Write the nearest pairs of different classes among the run's test images, like the paper's Fig. 1.

    Near is measured by the cosine of the run's own features; two images of one group are no pair.

    Raises:
        RunError: there is no pair: one class only, or one group.
    """
    folder = RunFolder(Path(run))
    target = (folder.figures if out is None else Path(out)) / f"look-alikes.{checked_kind(kind)}"
    check_targets({target: "figure"})
    fitted, manifest = open_run(run), run_manifest(folder, data).part("test")
    features: list[Tensor] = []
    with torch.no_grad():
        for start in range(0, len(manifest), 32):
            paths = manifest.table["path"].iloc[start : start + 32]
            prepared = fitted.prepare([manifest.store.read(str(path)) for path in paths])
            features.append(fitted.model.features(prepared).float().cpu())
    labels = manifest.labels()
    pairs = look_alikes(torch.cat(features), labels, count, groups=list(manifest.table["group"])) if features else []
    if not pairs:
        raise RunError(f"the test part of `{folder.path}` has no two images of different classes and groups.")
    rows = [row for pair in pairs for row in (pair.first, pair.second)]
    display = fitted.display([manifest.store.read(str(manifest.table["path"].iloc[row])) for row in rows])
    figure = look_alikes_figure(display, pairs, [int(labels[row]) for row in rows], fitted.classes)
    return write_figure(target, figure)
