"""Where a verb may write: where it can, never over its inputs, over no file of another kind unless that is wanted."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from danil.data.listing import expanded
from danil.data.manifest import Manifest
from danil.data.sources import SYNTHETIC, parsed_source
from danil.data.writable import file_fault

HEAD = 2**16
"""Bytes at either end of a file that are looked at for the mark of the verb that wrote it."""

PAGE = r'.*<meta name="generator" content="danil .*<p class="kind">'
MARKS: Mapping[str, str] = {
    "split": r"# danil split, digest ",
    "predictions": r'path,prediction,"?probability_',
    "audit": r'\{\s*"source": .*?"digest": "[0-9a-f]{64}"',
    "comparison": r'\{\s*"format": \d+,\s*"metric": ',
    "metrics": r'\{\s*"format": \d+,\s*"images": ',
    "audit page": PAGE + "Audit of a data set<",
    "comparison page": PAGE + "Comparison<",
    "tables page": PAGE + "Benchmark<",
    "demonstration page": PAGE + "Demonstration<",
    "figure": r".*(Software\0danil|<dc:title>danil<|/Creator \(danil\))",
    "curves": r"path,group,map,deletion,insertion",
    "evidence": r"path,group,network,map,",
    "evidence scores": r'\{\s*"images": \d+,\s*"limit": ',
}
"""Kind of output → regular expression of how such a file, as danil writes it, begins."""


class OutputError(ValueError):
    """Say which output cannot be written or would destroy a file, and what to do."""


@dataclass(frozen=True)
class Output:
    """Hold a file that a verb is to write: the option that names it, where it goes, and its kind, a key of `MARKS`."""

    option: str
    path: Path
    kind: str


def check_outputs(
    outputs: Iterable[Output],
    inputs: Iterable[str | Path] = (),
    manifest: Manifest | None = None,
    overwrite: bool | None = False,
) -> None:
    """Raise `OutputError` where an output cannot be written, or would destroy a file that danil could not make again.

    A file that danil wrote for the same purpose is replaced without a word, so a command can be repeated.

    Args:
        outputs: what a verb is to write.
        inputs: files and folders that it reads; none of these files is ever replaced, nor one in these folders that is
            not of the output's kind.
        manifest: the data that it reads; none of their images is ever replaced.
        overwrite: a file of another kind may be replaced; `None` where the verb has no option for that.
    """
    read = [Path(path) for path in inputs]
    taken: dict[str, str] = {}
    for output in outputs:
        option = taken.setdefault(os.path.realpath(output.path), output.option)
        if option != output.option:
            raise OutputError(f"`{option}` and `{output.option}` are one file, `{output.path}`. Name two.")
        check_output(output, read, manifest, overwrite)


def check_output(output: Output, inputs: Iterable[Path], manifest: Manifest | None, overwrite: bool | None) -> None:
    """Raise `OutputError` where one output must not be written."""
    path, told = output.path, f"`{output.option}` is `{output.path}`, "
    if manifest is not None and is_image(path, manifest):
        raise OutputError(f"{told}which is the name of an image of the data. Name another file.")
    fault = file_fault(path)
    if fault is not None:
        raise OutputError(f"`{output.option}`: {fault}. Choose another place.")
    if not path.exists():
        return
    if any(one.is_file() and path.samefile(one) for one in inputs):
        raise OutputError(f"{told}which is an input of this command. Name another file.")
    if written(path, output.kind):
        return
    around = [one for one in inputs if one.is_dir() and Path(os.path.realpath(path)).is_relative_to(one.resolve())]
    if around:
        raise OutputError(f"{told}which is a file of the input `{around[0]}`. Name another file.")
    if not overwrite:
        way = "Choose another place." if overwrite is None else "Name another file, or replace it by `--overwrite`."
        raise OutputError(f"{told}which exists and is no {output.kind} file that danil wrote. {way}")


def written(path: Path, kind: str) -> bool:
    """Tell whether danil wrote this file as an output of this kind, or whether there is nothing in it to lose."""
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        head = stream.read(HEAD)
        stream.seek(max(stream.tell(), path.stat().st_size - HEAD))
        head += stream.read(HEAD)  # a PDF file names its maker at its end
    return not head or re.match(MARKS[kind], head.decode("utf-8", "replace"), re.DOTALL) is not None


def is_image(path: Path, manifest: Manifest) -> bool:
    """Tell whether a path is that of an image of the data, be the file there or not."""
    if manifest.root is None:
        return False
    place = Path(os.path.realpath(path.parent)) / path.name
    root = manifest.root.resolve()
    return place.is_relative_to(root) and bool((manifest.table["path"] == place.relative_to(root).as_posix()).any())


def source_places(data: str) -> list[Path]:
    """Return the file or folder that a source text names; none of images made at run time."""
    return [] if data.startswith(f"{SYNTHETIC}:") else [expanded(parsed_source(data).path)]
