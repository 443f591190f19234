"""Write a checkpoint in processes that die (SIGKILL) at every line of the writing code; print what is left each time.

    python kill_at_every_line.py FOLDER

A line of output per kill, as JSON: the step that `latest_checkpoint` finds, the files left, and both again after one
more save.
"""

import json
import os
import shutil
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from danil.data.atomic import remove_partial_files
from danil.runs.checkpoint import latest_checkpoint, write_checkpoint

TRACED = ("atomic.py", "write_checkpoint")


def die_at(line: int) -> None:
    """Kill this process when it comes to the line of this number, counted in the code that writes."""
    left = line

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if frame.f_code.co_name not in TRACED and Path(frame.f_code.co_filename).name not in TRACED:
            return None
        if event in ("line", "return"):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    sys.settrace(trace)


def state(step: int) -> dict[str, Any]:
    """Return a state that differs in every byte from step to step."""
    return {"step": step, "weight": torch.full((64,), float(step))}


def survived(folder: Path, line: int) -> bool:
    """Save a third time, dying at this line; print what is left; tell whether the save got to its end."""
    path = folder / "last.safetensors"
    child = os.fork()
    if child == 0:
        die_at(line)
        write_checkpoint(path, state(3))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    files = sorted(file.name for file in folder.iterdir())
    found = latest_checkpoint(path)
    assert found is not None
    assert (found.state["weight"] == found.state["step"]).all()
    remove_partial_files(folder)
    write_checkpoint(path, state(4))
    again = latest_checkpoint(path)
    assert again is not None
    left = sorted(file.name for file in folder.iterdir())
    print(json.dumps({"step": found.state["step"], "files": files, "next": again.state["step"], "left": left}))
    return os.WIFEXITED(status)


def main(folder: Path) -> None:
    """Kill at every line until none is left."""
    warnings.simplefilter("error")
    before = folder / "before"
    for step in (1, 2):
        write_checkpoint(before / "last.safetensors", state(step))
    line = 0
    while not survived(Path(shutil.copytree(before, folder / str(line))), line):
        line += 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
