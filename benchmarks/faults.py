"""Do faults to short training runs and see whether anything is lost; write results/faults.json and docs/reliability.md.

    python benchmarks/faults.py                      # what has no record yet; about 10 minutes of processor time in all
    python benchmarks/faults.py --only kill --times 3 --out /tmp/faults.json --no-document
    python benchmarks/faults.py --document           # docs/reliability.md from results/faults.json

A run is DANIL with a set strength (running averages), AdamW, cosine, EMA, dropout, clipping, a balanced sampler, the
best of the validation epochs, all augmentations, two loader workers, a checkpoint every 3 steps. After each fault the
same command is given again with `--resume`; survived means: weights, predictions and log (time columns aside) have the
same bytes as those of the run left alone. Moments are drawn at random over the processor time of that run.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from faults_document import write_document
from victim import Victim, lingering, result, uninterrupted

from danil.data.fake import write_fake
from danil.runs.folder import environment

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "results" / "faults.json"
SETTINGS = {
    "data.size": 32, "data.workers": 2, "model.backbone": "test_resnet", "model.weights": "none", "model.dropout": 0.2,
    "objective.name": "danil", "objective.strength": 0.1, "train.epochs": 4, "train.batch_size": 8,
    "train.optimizer": "adamw", "train.lr": 0.003, "train.schedule": "cosine", "train.warmup_epochs": 1,
    "train.balance": "sampler", "train.clip": 1.0, "train.ema": 0.9, "train.select": "best", "train.save_every": 3,
    "train.recompute_statistics": 24, "split.validation": 0.2,
}  # fmt: skip
RANKS = {"train.devices": 2, "train.accelerator": "cpu"}
SELECTION = {"objective.name": "batch_selection", "objective.strength": "none", "train.balance": "none"}
SYNTHETIC = "synthetic:dermoscopy?images=96&size=32"
Record = dict[str, Any]
Fault = Callable[["Place", random.Random], Record]


class Place:
    """Hold a folder of runs with one configuration, and what the one left alone gave."""

    def __init__(self, folder: Path, source: str = SYNTHETIC, **settings: Any) -> None:
        chosen = {key: value for key, value in {**SETTINGS, **settings}.items() if value is not None}
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.source = folder, source
        self.words = ["train", source, "--quiet", "--recipe", "paper"]
        self.words += [word for key, value in chosen.items() for word in ("--set", f"{key}={str(value).lower()}")]
        whole = Victim(self.words, folder / "whole")
        self.total = max(uninterrupted(whole))
        self.expected = result(whole.folder)
        self.checkpoint_bytes = whole.last.stat().st_size
        self.count = 0

    def victim(self) -> Victim:
        """Return a run that has not begun."""
        self.count += 1
        return Victim(self.words, self.folder / f"{self.count}")

    def moment(self, draw: random.Random) -> float:
        """Return a moment in processor time, anywhere from the run's beginning to its end."""
        return draw.uniform(0, self.total)

    def outcome(self, victim: Victim, **record: Any) -> Record:
        """Resume the run to its end and compare."""
        victim.start("--resume")
        code = victim.join()
        same, text = code == 0 and result(victim.folder) == self.expected, victim.text()
        left = [str(path.relative_to(victim.folder)) for path in victim.folder.rglob(".*.part")]
        fault = {} if same and not left else {"exit": code, "left": left, "text": text[-2000:]}
        record = {key: value in text if key == "resumed_naming" else value for key, value in record.items()}
        shutil.rmtree(victim.folder, ignore_errors=True)
        return record | {"survived": same and not left} | fault


def kill(place: Place, draw: random.Random) -> Record:
    """`kill -9` at a random moment, one to three times in a row; the process alone or with its workers."""
    victim, kills = place.victim(), []
    for turn in range(draw.choice((1, 1, 2, 3))):
        victim.start(*(["--resume"] if turn else []))
        moment, group = place.moment(draw), draw.random() < 0.5
        if not victim.wait_until(lambda now=moment: victim.spent() >= now):
            victim.join()
            break
        others = victim.children()
        victim.send(signal.SIGKILL, group)
        victim.join()
        kills.append({"step": victim.saved(), "in_write": victim.partial(), "workers_left": len(lingering(others))})
    return place.outcome(victim, kills=kills)


def kill_in_write(place: Place, draw: random.Random) -> Record:
    """`kill -9` while a checkpoint is half written."""
    victim = place.victim()
    victim.start()
    wanted = draw.randrange(1, 9)
    for _ in range(wanted):
        victim.wait_until(lambda: not victim.partial(), pause=0)
        victim.wait_until(victim.partial, pause=0)
    victim.send(signal.SIGKILL, group=True)
    victim.join()
    kills = [{"step": victim.saved(), "in_write": victim.partial()}]
    return place.outcome(victim, kills=kills, wants_write=True)


def asked(number: signal.Signals) -> Fault:
    """Return the fault: Ctrl-C or SIGTERM at a random moment of training, to the process and its workers."""

    def ask(place: Place, draw: random.Random) -> Record:
        victim = place.victim()
        victim.start()
        moment = draw.uniform(0.1, 0.8) * place.total
        victim.wait_until(lambda: victim.saved() >= 0 and victim.spent() >= moment)
        victim.send(number, group=True)
        code, text = victim.join(), victim.text()
        record = place.outcome(victim, exit_code=code, hint="--resume" in text)
        record["survived"] &= code in (0, 128 + number)
        return record

    return ask


def kill_worker(place: Place, draw: random.Random) -> Record:
    """`kill -9` to a loader worker at a random moment; the run must go on by itself."""
    victim = place.victim()
    victim.start()
    moment = draw.uniform(0.1, 0.7) * place.total
    victim.wait_until(lambda: victim.spent() >= moment and bool(victim.children()))
    pids = victim.children()
    if pids:
        os.kill(draw.choice(pids), signal.SIGKILL)
    code, text = victim.join(), victim.text()
    same = code == 0 and result(victim.folder) == place.expected
    return {"survived": same, "noticed": "prepares batches died" in text} | (
        {} if same else {"exit": code, "text": text[-2000:]}
    )


def kill_rank(place: Place, draw: random.Random) -> Record:
    """`kill -9` to one of two ranks; the other must end too, within a minute."""
    victim = place.victim()
    victim.start()
    victim.wait_until(lambda: victim.saved() >= 3)
    others = victim.children()
    rank = draw.randrange(2)
    first = victim.pid if rank == 0 else next((pid for pid in others if is_rank(pid)), victim.pid)
    os.kill(first, signal.SIGKILL)
    code, text = victim.join(60), victim.text()
    left = lingering(others, 60)
    named = "another process of this training has died" in text
    return place.outcome(victim, rank=rank, exit_code=code, hung=code == 999 or bool(left), named=named)


def is_rank(pid: int) -> bool:
    """Tell whether a process is another rank, not a loader worker (a fork, which has this program's own command)."""
    return Path(f"/proc/{pid}/cmdline").read_bytes() != Path("/proc/self/cmdline").read_bytes()


def damage(way: str) -> Fault:
    """Return the fault: the last checkpoint damaged on disk after a kill."""

    def hurt(place: Place, draw: random.Random) -> Record:
        victim = place.victim()
        victim.start()
        victim.wait_until(lambda: victim.saved() >= 6)
        victim.send(signal.SIGKILL, group=True)
        victim.join()
        content = bytearray(victim.last.read_bytes())
        if way == "flipped":
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        victim.last.write_bytes(
            {"flipped": content, "cut": content[: draw.randrange(1, len(content))], "empty": b""}[way]
        )
        record = place.outcome(victim, resumed_naming="last.safetensors` is damaged")
        record["survived"] &= record["resumed_naming"]
        return record

    return hurt


def full_disk(place: Place, draw: random.Random) -> Record:
    """No file may grow beyond some bytes (RLIMIT_FSIZE) from a random moment on; later the limit is gone."""
    victim = place.victim()
    victim.start()
    moment = draw.uniform(0.1, 0.9) * place.total
    victim.wait_until(lambda: victim.saved() >= 0 and victim.spent() >= moment)
    size = draw.choice((0, 3000, 100000))
    resource.prlimit(victim.pid, resource.RLIMIT_FSIZE, (size, size))
    code, before = victim.join(), victim.saved()
    text = victim.text()
    record = place.outcome(victim, exit_code=code, limit=size, step=before, named="could not write" in text)
    record["survived"] &= before >= 0 and (code == 0 or (code == 2 and record["named"]))
    return record


def full_file_system(place: Place, draw: random.Random) -> Record:
    """The run folder is on a file system that is too small for it; later it is made larger."""
    victim, size = place.victim(), place.checkpoint_bytes
    victim.folder.mkdir()
    if not mounted(victim.folder, f"size={int(draw.uniform(1.2, 5) * size)}"):
        return {"survived": True, "skipped": "no file system can be mounted here"}
    try:
        victim.start("--resume")
        code, text = victim.join(), victim.text()
        mounted(victim.folder, "remount,size=64m")
        record = place.outcome(victim, exit_code=code, named="could not write" in text)
    finally:
        subprocess.run(["umount", str(victim.folder)], check=False)
        victim.folder.rmdir()
    record["survived"] &= code == 0 or (code == 2 and record["named"])
    return record


def mounted(folder: Path, options: str) -> bool:
    """Mount a file system in memory, and tell whether that is allowed."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def changed_image(place: Place, draw: random.Random) -> Record:
    """An image file vanishes, or gets other bytes, while it is being trained on; later it is put back."""
    root = Path(place.source.split(":", 1)[1])
    victim = place.victim()
    victim.start()
    victim.wait_until(lambda: victim.saved() >= 0)
    file = draw.choice(sorted(root.rglob("*.png")))
    content, times = file.read_bytes(), file.stat()
    file.unlink() if draw.random() < 0.5 else file.write_bytes(content[:-20])
    code, text = victim.join(), victim.text()
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    record = place.outcome(victim, exit_code=code, named=file.name in text)
    record["survived"] &= code == 2 and record["named"]
    return record


def wild_clock(place: Place, draw: random.Random) -> Record:
    """The wall clock jumps by up to a year, back and forth, all the time."""

    def prepare() -> None:
        seed = draw.random()
        jumps = random.Random(seed)
        real = time.time
        time.time = lambda: real() + jumps.uniform(-3e7, 3e7)

    victim = replace(place.victim(), prepare=prepare)
    victim.start()
    victim.wait_until(lambda: victim.saved() >= 3)
    victim.send(signal.SIGKILL, group=True)
    victim.join()
    return place.outcome(victim)


def memory(steps: int) -> Record:
    """Train many steps and return how memory grows from a fifth of the way on."""
    with tempfile.TemporaryDirectory() as folder:
        per_epoch = 96 * 5 // 10 // 8
        chosen = {"train.epochs": steps // per_epoch, "train.save_every": 100, "data.workers": 0}
        words = ["train", SYNTHETIC, "--quiet", "--recipe", "paper"]
        words += [w for k, v in {**SETTINGS, **chosen}.items() for w in ("--set", f"{k}={str(v).lower()}")]
        victim = Victim(words, Path(folder) / "long")
        seen: list[tuple[int, int]] = []
        for _ in uninterrupted(victim):
            log = victim.folder / "log.csv"
            if log.exists() and (rows := log.read_text().count("\n") - 1) > (seen[-1][0] if seen else 0):
                seen.append((rows, victim.memory()))
            time.sleep(0.02)
        count = seen[-1][0]
        early = [size for row, size in seen if 0.2 * count <= row <= 0.3 * count]
        late = [size for row, size in seen if row >= 0.9 * count]
        typical = [sorted(sizes)[len(sizes) // 2] for sizes in (early, late)]
        log = (victim.folder / "log.csv").read_text().splitlines()[-1].split(",")
        return {"steps": int(log[1]), "early_bytes": typical[0], "late_bytes": typical[1],
                "growth": typical[1] / typical[0] - 1}  # fmt: skip


FAULTS: dict[str, tuple[Fault, str, int]] = {
    "kill": (kill, "alone", 20),
    "kill in a write": (kill_in_write, "alone", 5),
    "kill, batch selection": (kill, "selection", 3),
    "kill, two ranks": (kill, "ranks", 4),
    "kill one of two ranks": (kill_rank, "ranks", 2),
    "SIGTERM, two ranks": (asked(signal.SIGTERM), "ranks", 2),
    "Ctrl-C": (asked(signal.SIGINT), "alone", 3),
    "SIGTERM": (asked(signal.SIGTERM), "alone", 3),
    "worker killed": (kill_worker, "alone", 4),
    "checkpoint: a bit flipped": (damage("flipped"), "alone", 3),
    "checkpoint: cut off": (damage("cut"), "alone", 3),
    "checkpoint: empty": (damage("empty"), "alone", 1),
    "disk full": (full_disk, "alone", 5),
    "file system full": (full_file_system, "alone", 3),
    "image vanishes or changes": (changed_image, "files", 4),
    "clock jumps": (wild_clock, "alone", 2),
}


def place(name: str, folder: Path) -> Place:
    """Make the folder of a configuration and its run without faults."""
    if name == "files":
        return Place(folder, f"folder:{write_fake('folder', folder / 'data')}", **{"data.cache": "none"})
    return Place(folder, **{"alone": {}, "selection": SELECTION, "ranks": RANKS}[name])


def inject(found: dict[str, Any], wanted: list[str], times: int | None, out: Path) -> None:
    """Do each wanted fault until it is recorded as often as asked; write the record after each."""
    with tempfile.TemporaryDirectory() as folder:
        places: dict[str, Place] = {}
        for fault in wanted:
            hurt, where, count = FAULTS[fault]
            records = found["faults"].setdefault(fault, [])
            for number in range(len(records), count if times is None else times):
                if where not in places:
                    places[where] = place(where, Path(folder) / where)
                record = hurt(places[where], random.Random(f"{fault} {number}"))
                print(fault, json.dumps(record), flush=True)
                if "skipped" in record:
                    break
                records.append(record)
                out.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    """Do the faults that are not recorded yet, write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*FAULTS, "memory"], default=[*FAULTS, "memory"])
    parser.add_argument("--times", type=int, help="how often each fault is done")
    parser.add_argument("--steps", type=int, default=2000, help="of the run whose memory is watched")
    parser.add_argument("--out", type=Path, default=RECORD)
    parser.add_argument("--document", action="store_true", help="only write the document from the record")
    parser.add_argument("--no-document", action="store_true")
    arguments = parser.parse_args()
    found: dict[str, Any] = {"versions": environment([])["versions"], "faults": {}}
    if arguments.out.exists():
        found = json.loads(arguments.out.read_text())
    if not arguments.document:
        torch.set_num_threads(1)
        inject(found, [name for name in arguments.only if name != "memory"], arguments.times, arguments.out)
        if "memory" in arguments.only and "memory" not in found:
            found["memory"] = memory(arguments.steps)
            print("memory", json.dumps(found["memory"]), flush=True)
        arguments.out.write_text(json.dumps(found, indent=1) + "\n")
    if not arguments.no_document:
        write_document(found, ROOT / "docs" / "reliability.md")
    sys.exit(not all(record["survived"] for records in found["faults"].values() for record in records))


if __name__ == "__main__":
    main()
