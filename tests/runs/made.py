"""Run folders as a training begins them, made without one."""

from danil.runs import RunFolder
from danil.runs.folder import write_run


def made_run(path, recipe, manifest, command=("danil",)) -> RunFolder:
    """Write recipe, environment and manifest into a new run folder."""
    folder = RunFolder(path)
    path.mkdir(parents=True)
    write_run(folder, recipe, manifest, command)
    return folder
