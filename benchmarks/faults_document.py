"""docs/reliability.md, from the record of the faults that were injected."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

Records = Sequence[dict[str, Any]]

WAYS = {
    "kill": "`kill -9` at a random moment, one to three times in a row, the process alone or with its workers",
    "kill in a write": "`kill -9` while a file was half written",
    "kill, batch selection": "the same, with the sampler that ranks images by their losses",
    "kill, two ranks": "the same, with two processes (DDP)",
    "kill one of two ranks": "`kill -9` to one of two processes (DDP)",
    "SIGTERM, two ranks": "SIGTERM to two processes and all their workers",
    "Ctrl-C": "SIGINT to the process and its workers: the step is finished and saved, exit code 130",
    "SIGTERM": "SIGTERM to the process and its workers: likewise, exit code 143",
    "worker killed": "`kill -9` to a process that prepares batches; the run goes on by itself",
    "checkpoint: a bit flipped": "killed, then one random bit of the last checkpoint flipped",
    "checkpoint: cut off": "killed, then the last checkpoint cut at a random byte",
    "checkpoint: empty": "killed, then the last checkpoint emptied",
    "disk full": "from a random moment on no file may grow beyond 0, 3,000 or 100,000 bytes (`RLIMIT_FSIZE`)",
    "file system full": "the run folder on a file system too small for it (tmpfs, `ENOSPC`), later enlarged",
    "image vanishes or changes": "an image deleted or cut while trained on (`data.cache=none`), later put back",
    "clock jumps": "a wall clock that jumps by up to a year at every look, and a `kill -9`",
}

HEAD = """# Reliability

Generated from `results/faults.json` by `python benchmarks/faults.py`, which does the faults below to real, short
training runs on the CPU (the script's header says which; two loader workers, every augmentation, every kind of state
that a checkpoint holds). After each fault the same command is given again with `--resume`. *Survived* means that
weights, predictions and log, its time columns aside, have the same bytes as those of a run left alone; *without effect*
that the run ended by itself before the fault could reach it; *lost* is everything else.

"""

GUIDE = """
## What a run does about it

- **A checkpoint** is written after each epoch, every 10 minutes (`train.save_minutes`) and, if wanted, every so many
  steps (`train.save_every`). It holds weights, their average, optimiser, schedule, fp16 gradient scale, the objective's
  running averages, the sampler with its place in the epoch, the random state of every process, and the log. What a kill
  costs is the work since then. How often it is written does not change the result.
- **Writes** of checkpoints, logs, predictions, metrics and reports go to a temporary file that is flushed and renamed,
  and the folder is flushed after that. The checkpoint before is kept as `last.previous.safetensors`. What a killed
  writer leaves is removed at the next start. `tests/runs/test_checkpoint.py` kills the writer at each line of its code.
- **Reading** compares a SHA-256 over the content. A damaged checkpoint is named, and the one before is used, with a
  warning. With both damaged the run does not go on by itself, and says so.
- **Ctrl-C, SIGTERM and a lost terminal** (SIGHUP: the window is closed, the connection drops) finish the step (or
  leave the evaluation), save, and exit with 130, 143 or 129. A second Ctrl-C leaves at once and says what is saved.
  Before training starts there is nothing to save, and each ends the program at once. Under `nohup` a lost terminal
  stops nothing.
- **Any other error** (a full disk, an image that vanished, memory) says at which step the run stands, which step is
  saved, with which epoch the log ends, and how to go on; `tests/training/test_stopping.py` has them one by one.
- **A loss or weights that are not finite** end the run before they are saved; the message names step and images.
- **A run folder has one writer**: a second `danil train` on it is refused while the first lives.
- **Resuming** refuses other data (by digest) and another recipe. `data.workers`, `data.cache`, `train.save_every` and
  `train.save_minutes` may change, since the result does not depend on them. Other library versions, thread counts or
  processors are told: the run goes on, but its last bits may differ.
- **Cores**: where a container limits processor time, PyTorch's threads are lowered to it (unless `OMP_NUM_THREADS` is
  set), by every verb that computes with a network; a worker uses one thread; more workers than cores are told.

## What is not promised

- Bit-equality holds for the same machine type, library versions and number of threads. On a GPU it needs
  `train.deterministic=true`, and has not been tested on one yet; nor has fp16 (`16-mixed`) on a GPU, only its state.
- An image replaced by another of the same size in bytes *between* a kill and the resume is not noticed: the digest of
  the data covers names, labels, parts and sizes, not content. While a run lives, its time of change is compared too.
- With two processes one that dies ends the run: resume it. Nothing restarts by itself, except loader workers.
- The last bits on disk are as safe as the disk: a drive that loses what it said was flushed can lose the last save.
"""


def table(faults: dict[str, Records]) -> str:
    """Return a row per kind of fault; what had no effect (a run that ended first) is neither survived nor lost."""
    lines = ["| fault | injected | without effect | survived | lost |", "|---|---|---|---|---|"]
    total = [0, 0, 0, 0]
    for name, way in WAYS.items():
        records = faults.get(name, [])
        if not records:
            continue
        injected = sum(len(record.get("kills", [None])) for record in records)
        lost = sum(not record["survived"] for record in records)
        idle = sum(record["survived"] and without_effect(record) for record in records)
        counts = [injected, idle, injected - idle - lost, lost]
        total = [a + b for a, b in zip(total, counts, strict=True)]
        lines.append(f"| {way} | {' | '.join(map(str, counts))} |")
    return "\n".join([*lines, f"| **all** | {' | '.join(f'**{count}**' for count in total)} |"])


def without_effect(record: dict[str, Any]) -> bool:
    """Tell whether the run ended as if nothing had been done to it, or no write was met that was to be killed."""
    kills = record.get("kills", [])
    missed = bool(kills) and record.get("wants_write", False) and not any(kill["in_write"] for kill in kills)
    return missed or record.get("exit_code") == 0 or record.get("noticed") is False


def details(found: dict[str, Any]) -> str:
    """Return where the kills fell, and how memory grew."""
    faults: dict[str, Records] = found["faults"]
    kills = [kill for records in faults.values() for record in records for kill in record.get("kills", [])]
    lines: list[str] = []
    if kills:
        early = sum(kill["step"] < 0 for kill in kills)
        writing = sum(kill["in_write"] for kill in kills)
        left = sum(kill.get("workers_left", 0) for kill in kills)
        lines.append(
            f"Of the {len(kills)} kills, {early} fell before the first checkpoint and {writing} while a file was half "
            f"written. Loader workers that outlived the killed process by more than 15 seconds: {left}."
        )
    if "memory" in found:
        memory = found["memory"]
        lines.append(
            f"Memory over {memory['steps']:,} steps without loader workers: "
            f"{memory['early_bytes'] / 2**20:.1f} MiB of the process's own "
            f"in the third tenth of the run, {memory['late_bytes'] / 2**20:.1f} MiB in the last: "
            f"{100 * memory['growth']:+.2f} %."
        )
    versions = found["versions"]
    lines.append(f"PyTorch {versions['torch']}, lightning-fabric {versions['lightning-fabric']}.")
    return "\n\n".join(lines)


def write_document(found: dict[str, Any], path: Path) -> None:
    """Write the document."""
    path.write_text(f"{HEAD}{table(found['faults'])}\n\n{details(found)}\n{GUIDE}")
