"""Measure the audit on real images: twins found, and the time and memory that 10,000 images take.

    python benchmarks/audit.py twins [ham10000 aptos2019 idrid crc_tiles] [--count 200]
    python benchmarks/audit.py speed
    python benchmarks/audit.py table

`twins` plants copies of randomly drawn images of each set (re-encoded at quality 60; halved; cropped to 95 % of each
side at a random place; cropped by 5 % at every edge), audits set and copies together, and counts how many are reported
with their original, beside what a perceptual hash (`imagehash.phash`) finds. `speed` audits 10,000 real images of 224
px and more. Both write results/audit.json; `table` writes its numbers into docs/audit.md. The similarity's threshold
was chosen on other copies (seed 0); these are drawn with seed 1.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from marked import write_between
from PIL import Image

from danil.data import Manifest, audit_data, read_source
from danil.data.files import FileImages, threads
from danil.data.manifest import assembled

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
RECORD = ROOT / "results" / "audit.json"
READERS = {"ham10000": "ham10000", "aptos2019": "aptos2019", "idrid": "idrid", "crc_tiles": "folder"}
KINDS = ("quality 60", "halved", "cropped 5 %", "every edge 5 %")
NEAR_HASH = 8
"""Bits of 64 by which two hashes may differ in the comparison."""


def twin(image: Image.Image, kind: str, draw: np.random.Generator, path: Path) -> None:
    """Write a copy of the image."""
    width, height = image.size
    if kind == "halved":
        image = image.resize((width // 2, height // 2), Image.Resampling.LANCZOS)
    elif kind != "quality 60":
        share = 0.95 if kind == "cropped 5 %" else 0.9
        size = round(width * share), round(height * share)
        room = width - size[0], height - size[1]
        corner = [int(draw.integers(0, side + 1)) for side in room] if share == 0.95 else [side // 2 for side in room]
        image = image.crop((*corner, corner[0] + size[0], corner[1] + size[1]))
    image.save(path, quality=60 if kind == "quality 60" else 90)


def planted(manifest: Manifest, folder: Path, count: int) -> tuple[Manifest, dict[str, dict[str, str]]]:
    """Return the set with its twins beside it, and for each kind: twin → original."""
    (folder / "set").symlink_to(manifest.root.resolve())
    (folder / "twins").mkdir()
    draw = np.random.default_rng(1)
    paths = manifest.table["path"].to_numpy()
    made: dict[str, dict[str, str]] = {}
    for kind in KINDS:
        made[kind] = {}
        for row in draw.permutation(len(paths))[:count]:
            name = f"twins/{kind.replace(' ', '-').replace('%', 'percent')}-{row}.jpg"
            twin(manifest.store.read(paths[row]), kind, draw, folder / name)
            made[kind][name] = f"set/{paths[row]}"
    names = [f"set/{path}" for path in paths] + [name for pairs in made.values() for name in pairs]
    table = pd.DataFrame({"path": names, "label": "x"})
    return assembled(table, {"label": ["x"]}, store=FileImages(folder, links=True), source="planted", root=folder), made


def hashed(manifest: Manifest, made: dict[str, dict[str, str]]) -> dict[str, float]:
    """Return the recall of a 64-bit perceptual hash, and how many pairs of originals it takes for copies."""
    paths = list(manifest.table["path"])
    bits = np.stack([imagehash.phash(manifest.store.read(path)).hash.ravel() for path in paths]).astype(np.float32)
    place = {path: row for row, path in enumerate(paths)}
    signs = 2 * bits - 1
    recalls = {}
    for kind, pairs in made.items():
        twins, originals = ([place[path] for path in side] for side in (pairs, pairs.values()))
        recalls[kind] = float((np.abs(bits[twins] - bits[originals]).sum(1) <= NEAR_HASH).mean())
    originals = signs[: len(paths) - sum(map(len, made.values()))]
    near = (originals @ originals.T >= 64 - 2 * NEAR_HASH).sum() - len(originals)
    return {"recall": recalls, "pairs_of_originals": int(near // 2)}


def twins(name: str, count: int) -> dict[str, object]:
    """Return the record of one set."""
    manifest = read_source(f"{READERS[name]}:{DATA / name}")
    count = min(count, len(manifest) // 2)
    with tempfile.TemporaryDirectory() as folder:
        whole, made = planted(manifest, Path(folder), count)
        found = audit_data(whole)
        other = hashed(whole, made)
    sets = [set(one.paths) for kind in (found.exact_duplicates, found.near_duplicates) for one in kind.sets]
    recall = {
        kind: float(np.mean([any({copy, original} <= one for one in sets) for copy, original in pairs.items()]))
        for kind, pairs in made.items()
    }
    same = {path: place for place, one in enumerate(found.exact_duplicates.sets) for path in one.paths}
    mixed = [
        {same.get(path, path) for path in one.paths if path.startswith("set/")} for one in found.near_duplicates.sets
    ]
    return {
        "images": len(manifest),
        "twins_per_kind": count,
        "recall": recall,
        "sets_of_originals": sum(len(one) > 1 for one in mixed),
        "phash": other,
    }


def speed(count: int = 10_000) -> dict[str, object]:
    """Return time and peak memory of auditing real images of three sets together."""
    names, rows = ("ham10000", "aptos2019", "idrid"), []
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            (Path(folder) / name).symlink_to(DATA / name)
            rows += [f"{name}/{path}" for path in read_source(f"{READERS[name]}:{DATA / name}").table["path"]]
        table = pd.DataFrame({"path": rows[:count], "label": "x"})
        manifest = assembled(table, {"label": ["x"]}, store=FileImages(Path(folder), links=True), source="three sets")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        audit_data(manifest)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "images": len(manifest),
        "threads": threads(),
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "load_before": round(os.getloadavg()[0], 1),
        "peak_mebibytes": round(peak / 1024),
        "mebibytes_before": round(before / 1024),
    }


def recorded(**news: object) -> dict[str, object]:
    """Return the record with these entries renewed, and write it."""
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    for key, value in news.items():
        record[key] = {**record.get(key, {}), **value}
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return record


def tables(record: dict[str, object]) -> str:
    """Return the Markdown of the record."""
    lines = [
        f"| set | {' | '.join(KINDS)} | reported among the originals | confirmed by looking |",
        "|---" * (len(KINDS) + 3) + "|",
    ]
    for name, one in record["twins"].items():
        seen = record.get("looked_at", {}).get(name, {})
        share = " | ".join(f"{one['recall'][kind]:.3f}" for kind in KINDS)
        lines.append(f"| {name} | {share} | {one['sets_of_originals']} set(s) | {seen.get('confirmed', '–')} |")
        other = one["phash"]
        share = " | ".join(f"{other['recall'][kind]:.3f}" for kind in KINDS)
        lines.append(f"| … `imagehash.phash`, ≤ {NEAR_HASH} bits | {share} | {other['pairs_of_originals']} pairs | – |")
    took = record.get("speed")
    if took:
        lines += [
            "",
            f"{took['images']:,} real images of 224 px (337 × 224 for the last {took['images'] - 9646}): "
            f"{took['seconds']:.0f} s, {took['cpu_seconds']:.0f} s of processor time on {took['threads']} cores, at a "
            f"load of {took['load_before']:.0f} by other programs; {took['peak_mebibytes']:,} MiB at the peak, "
            f"of which {took['mebibytes_before']:,} MiB are Python and its libraries.",
        ]
    chosen = record["threshold"]
    lines += [
        "",
        f"The threshold {chosen['value']} lies just below the least similar ({chosen['least']}) of "
        f"{chosen['copies']:,} other planted copies, and above the most similar pair of different eyes seen "
        f"({chosen['different']}).",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("twins", "speed", "table"))
    parser.add_argument("sets", nargs="*", default=list(READERS))
    parser.add_argument("--count", type=int, default=200)
    chosen = parser.parse_args()
    if chosen.what == "twins":
        for name in chosen.sets:
            print(name, recorded(twins={name: twins(name, chosen.count)})["twins"][name])
    elif chosen.what == "speed":
        print(recorded(speed=speed())["speed"])
    document = ROOT / "docs" / "audit.md"
    if document.is_file():
        marks = "<!-- measured: made by `python benchmarks/audit.py table` -->", "<!-- end of measured -->"
        write_between(document, marks, tables(json.loads(RECORD.read_text())))
