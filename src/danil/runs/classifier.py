"""Opening a run: a fitted classifier for notebooks and for every verb after training."""

import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor, nn

from danil.data.dataset import Images
from danil.data.decoding import DAMAGE, rgb, upright
from danil.data.dicom import frame_named, frames_of, source_frames, source_window
from danil.data.dicom_pixels import Window
from danil.data.files import read_file
from danil.data.grey import GreyError
from danil.data.manifest import Manifest
from danil.data.sources import source_depth
from danil.data.transforms import squared
from danil.models import create_model
from danil.objectives import ResponseMaps, response_maps
from danil.objectives.margins import strongest_rivals
from danil.runs.checkpoint import CheckpointError, latest_checkpoint
from danil.runs.folder import RunError, RunFolder
from danil.runs.prediction import Normalization, Probabilities, predicted_probabilities
from danil.runs.threads import fit_threads
from danil.runs.unfinished import unfinished

LOGGER = logging.getLogger(__name__)
Picture = str | Path | Image.Image | np.ndarray[Any, Any]


class FittedClassifier:
    """Predict with, and look into, the network of one run; made by `open_run`.

    Images are files, PIL images or uint8 arrays `(H, W)` or `(H, W, 3)`, prepared as in training. `FILE#3` is the third
    frame of a DICOM file. PIL images are turned and scaled to 8 bits as files are.
    """

    def __init__(self, folder: RunFolder, device: torch.device) -> None:
        record = folder.record()
        self.folder = folder
        self.recipe = folder.read_recipe()
        self.tasks: dict[str, tuple[str, ...]] = {task: tuple(names) for task, names in record["tasks"].items()}
        self.task = next(iter(self.tasks))
        self.classes = self.tasks[self.task]
        self.model = create_model(self.recipe.model.backbone, self.tasks, weights="none", head=self.recipe.head)
        self.window, self.frames = source_window(record["source"]), source_frames(record["source"])
        self.depth = source_depth(record["source"])
        load_weights(self.model, folder)
        layout = torch.channels_last if self.recipe.train.channels_last else torch.contiguous_format
        self.model.to(device).to(memory_format=layout).eval()
        self.normalize = Normalization(self.model.mean, self.model.std, device, self.recipe.train.channels_last)

    def display(self, images: Picture | Iterable[Picture]) -> Tensor:
        """Return the images in the geometry the network sees, `(B, 3, S, S)` uint8."""
        data = self.recipe.data
        pictures = (self.picture(image, 2 * data.size) for image in listed(images))
        return torch.stack([squared(image, data.size, data.fit, data.preprocess) for image in pictures])

    def picture(self, image: Picture, shorter: int | None = None) -> Image.Image:
        """Return an image as upright 8-bit RGB, read as the run's data source says; `shorter` as in `picture`."""
        return picture(image, shorter, self.window, self.frames, self.depth)

    def images(self, manifest: Manifest, cache: Literal["memory", "none"] = "none") -> Images:
        """Return a manifest's images as the network sees them; `cache="memory"` for those read more than once."""
        data = self.recipe.data
        return Images(manifest, size=data.size, fit=data.fit, preprocess=data.preprocess, cache=cache)

    def prepare(self, images: Picture | Iterable[Picture]) -> Tensor:
        """Return the tensor the network receives, `(B, 3, S, S)`, normalised, on its device."""
        return self.normalize(self.display(images))

    def probabilities(
        self, batches: Iterable[Tensor], advance: Callable[[int], None] = lambda images: None
    ) -> Probabilities:
        """Return each task's class probabilities `(N, K)` for batches of uint8 images `(B, 3, S, S)`."""
        return predicted_probabilities(
            self.model, batches, self.task, normalize=self.normalize, views=self.recipe.data.views, advance=advance
        )

    def shares(self, display: Tensor) -> Tensor:
        """Return the main task's class probabilities `(B, K)`, float64 on the CPU, for images `(B, 3, S, S)` uint8."""
        return torch.from_numpy(self.probabilities([display])[self.task])

    def predict(self, images: Picture | Iterable[Picture], *, batch_size: int = 32) -> pd.DataFrame:
        """Return a row per image, in order: `path`, `prediction`, `probability_<class>` ….

        `path` is the file's, or the image's position where it was given as pixels. The plain names are the main task's;
        further tasks follow as `<task>_prediction`, `<task>_probability_<class>` …. A DICOM file of several frames has
        a row, `FILE#FRAME`, for each frame that the run's data source takes.

        Raises:
            ImageError: a file cannot be read.
        """
        pictures = [frame for image in listed(images) for frame in self.each_frame(image)]
        paths = [str(item) if isinstance(item, (str, Path)) else str(place) for place, item in enumerate(pictures)]
        return self.predicted(paths, (self.display(part) for part in chunks(pictures, batch_size)))

    def each_frame(self, image: Picture) -> Sequence[Picture]:
        """Return the frames of a file that are images of their own, as the run's data source takes them."""
        return frames_of(Path(image), self.frames) if isinstance(image, (str, Path)) else [image]

    def predicted(self, paths: Sequence[str], batches: Iterable[Tensor]) -> pd.DataFrame:
        """Return the table of `predict` for batches of uint8 images `(B, 3, S, S)`, named by `paths`."""
        empty = {task: np.empty((0, len(names))) for task, names in self.tasks.items()}
        found = self.probabilities(batches) if paths else empty
        columns: dict[str, Sequence[Any] | np.ndarray[Any, Any]] = {"path": list(paths)}
        for task, names in self.tasks.items():
            front = "" if task == self.task else f"{task}_"
            columns[f"{front}prediction"] = [names[index] for index in found[task].argmax(1)]
            columns |= {f"{front}probability_{name}": found[task][:, index] for index, name in enumerate(names)}
        return pd.DataFrame(columns)

    def response_maps(self, images: Picture | Iterable[Picture], labels: Sequence[str] | None = None) -> ResponseMaps:
        """Return A⁺, A⁻ and their difference for these images (main task).

        Without `labels` the predicted class takes the label's place. The rival is the strongest other class, of the
        fused probabilities where the run predicts in several views; the maps are those of the image as it is.

        Raises:
            RunError: a label is not a class of the run.
        """
        display = self.display(images)
        shares = self.shares(display)
        if labels is None:
            indices = shares.argmax(1)
        else:
            unknown = sorted({name for name in labels if name not in self.classes})
            if unknown:
                raise RunError(f"labels {unknown} are not classes of this run: {', '.join(self.classes)}.")
            indices = torch.tensor([self.classes.index(name) for name in labels])
        prepared, rivals = self.normalize(display), strongest_rivals(shares, indices)
        device = prepared.device
        return response_maps(self.model, prepared, indices.to(device), rivals.to(device), task=self.task)


def open_run(path: str | Path, *, device: str = "auto") -> FittedClassifier:
    """Open a run folder as a fitted classifier, with the best weights where a best epoch was kept, else the last.

    PyTorch's threads are lowered to the cores this process may use (see `fit_threads`). A training that has not come
    to its end is logged as a warning.

    Raises:
        RunError: the folder is not a run, or has no weights yet.
        CheckpointError: its checkpoint is damaged.
    """
    fit_threads()
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    fitted = FittedClassifier(RunFolder(Path(path)), torch.device(chosen))
    told = unfinished(fitted.folder)
    if told is not None:
        LOGGER.warning(told)
    return fitted


def trained_weights(folder: RunFolder) -> dict[str, Tensor]:
    """Return the state dict to predict with."""
    for name in ("best", "last"):
        found = latest_checkpoint(folder.checkpoint(name))
        if found is not None:
            return found.state["model"]
    raise RunError(f"`{folder.path}` has no weights yet. Train it: `danil train … --out {folder.path} --resume`.")


def load_weights(model: nn.Module, folder: RunFolder) -> None:
    """Put the run's weights into its network.

    Raises:
        CheckpointError: the checkpoint holds the weights of another network, or none.
    """
    try:
        model.load_state_dict(trained_weights(folder))
    except (RuntimeError, TypeError, AttributeError, KeyError) as error:
        raise CheckpointError(
            f"the weights in `{folder.checkpoint('last').parent}` are not those of the run's network: "
            f"{shorten(str(error), 300, placeholder=' …')} Restore the folder from a copy, or train again."
        ) from error


def picture(
    image: Picture,
    shorter: int | None = None,
    window: Window = "auto",
    frames: str = "first",
    depth: int | None = None,
) -> Image.Image:
    """Return the image as upright 8-bit RGB; `shorter` lets a large JPEG file be decoded smaller, as in training;
    `depth` as in `read_image`.

    Of several frames of a DICOM file, `frames` (`first`, `middle`) says which; of `all` the first, with a warning.
    """
    if isinstance(image, (str, Path)):
        names = frames_of(Path(image), frames)
        if len(names) > 1:
            warnings.warn(
                f"`{image}` has {len(names)} frames, of which the first is taken. Name another: `{names[1]}`.",
                stacklevel=2,
            )
        file, frame = frame_named(names[0])
        return read_file(file, str(image), shorter, window, frame, depth)
    if isinstance(image, Image.Image):
        try:
            return upright(image, rgb(image, depth))
        except GreyError as error:
            raise RunError(f"`images` holds a picture that {error}") from error
        except DAMAGE as error:
            raise RunError(f"`images` holds a picture of mode {image.mode} that is no RGB: {error}.") from error
    sides, channels = image.shape[:2], image.shape[2:]
    if image.dtype != np.uint8 or len(sides) < 2 or 0 in sides or channels not in ((), (3,)):
        raise RunError(
            f"`images` holds an array of {image.dtype} with shape {image.shape}; "
            "give uint8 of shape (H, W) or (H, W, 3), or a batch (B, H, W, 3)."
        )
    return Image.fromarray(image).convert("RGB")


def listed(images: Picture | Iterable[Picture]) -> list[Picture]:
    """Return a list, also for one image alone; a four-dimensional array is a batch."""
    if isinstance(images, np.ndarray):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, (str, Path, Image.Image)):
        return [images]
    return list(images)


def chunks(items: Sequence[Picture], size: int) -> Iterator[Sequence[Picture]]:
    """Yield the items in batches."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
