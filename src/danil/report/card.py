"""The data card, the protocol and the provenance of a run, in words."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from danil.data.manifest import plural
from danil.data.siblings import sibling_warnings
from danil.report.record import RunRecord
from danil.runs import Recipe
from danil.runs.calibration import digest
from danil.runs.unfinished import unfinished

PARTS = ("train", "validation", "test")
Facts = list[tuple[str, str]]

METHODS = {
    "base": "Base: cross-entropy alone",
    "danil": "DANIL: cross-entropy plus the distractor-aware term λ · L_d",
    "ohem": "OHEM: the hardest images of each batch only",
    "batch_selection": "online batch selection: images drawn by the rank of their last loss",
    "multitask": "multi-task: a second head on another label",
    "dil": "DIL-style: fundus preprocessing, dropout head, test-time fusion",
    "canet": "CANet: cross-disease attention for two labels",
    "canet_single": "CANet for one label",
}
WEIGHTS = {
    "auto": "pretrained weights",
    "hub": "pretrained weights of timm's hub",
    "package": "ImageNet weights of an installed package",
    "none": "random initial weights",
}
BALANCE = {
    "none": "Classes were left as frequent as they are.",
    "sampler": "Classes were drawn equally often.",
    "weights": "Classes were weighted to count equally.",
}
SELECTION = {
    "best": "The epoch with the best macro-F1 on the validation part was kept; the test part was not used to choose.",
    "last": "The last epoch was kept; the test part was not used to choose.",
}


FUNDUS = (
    "Every image was cropped to the retina's disk, rescaled to one radius and its local colour evened out, where a "
    "disk was found."
)


@dataclass(frozen=True)
class TextTable:
    """Hold a table of text: column names and rows whose first cell is the row's header."""

    caption: str
    head: list[str]
    rows: list[list[str]]


def data_facts(record: RunRecord) -> Facts:
    """Return what identifies the data."""
    data, table = record.data, record.manifest
    facts: Facts = [("Source", str(data["source"]))]
    if data.get("root"):
        facts.append(("Folder", str(data["root"])))
    parts = {part: int(count) for part, count in data["images"].items()}
    facts.append(
        (
            "Images",
            f"{sum(parts.values()):,}: " + ", ".join(f"{parts[name]:,} {name}" for name in PARTS if name in parts),
        )
    )
    if data["grouped"] and table is not None:
        facts.append(("Groups", f"{table['group'].nunique():,} (patients, lesions or the like, as the data say)"))
    else:
        facts.append(("Groups", "not known: every image counts as its own group"))
    for task, names in data["tasks"].items():
        facts.append((f"Classes of {task}", ", ".join(names)))
    facts.append(("Digest", str(data["digest"])))
    return facts


def class_table(record: RunRecord) -> TextTable | None:
    """Return the images per class and part, unknown labels last."""
    if record.manifest is None or record.task not in record.manifest:
        return None
    labels, split = record.manifest[record.task], record.manifest["split"]
    known = [name for name in PARTS if (split == name).any()]
    masks = [(name, (labels == name).to_numpy()) for name in record.classes]
    masks += [("unknown label", labels.isna().to_numpy())] if labels.isna().any() else []
    masks.append(("all", np.ones(len(labels), dtype=bool)))
    rows: list[list[str]] = []
    for name, chosen in masks:
        counts = [int((chosen & (split == part).to_numpy()).sum()) for part in known]
        share = f"{100 * chosen.mean():.1f} %"
        rows.append([name, *(f"{count:,}" for count in counts), f"{int(chosen.sum()):,}", share])
    return TextTable("Images per class and part", ["class", *known, "all", "share"], rows)


def cautions(record: RunRecord, notes: bool = True) -> list[str]:
    """Return what a reader must know before believing the numbers, with the notes of `metrics.json` where wanted."""
    told = unfinished(record.folder)
    found = [] if told is None else [told[0].upper() + told[1:]]
    if str(record.data["source"]).startswith("synthetic:"):
        found.append("These images are synthetic, drawn by a program. The numbers say nothing about real images.")
    if record.recipe.data.limit is not None:
        found.append(f"This is a trial on a sample (data.limit = {record.recipe.data.limit:,}), not on all images.")
    if record.manifest is not None and record.data.get("grouped"):
        found += sibling_warnings(record.manifest, grouped=True)
    elif record.manifest is not None:
        found.append("Nothing is known of patients: images of one patient may lie on both sides of the split.")
    return found + ([str(note) for note in (record.metrics or {}).get("notes", [])] if notes else [])


def protocol(recipe: Recipe) -> list[str]:
    """Return how the run was made, in sentences."""
    train, model, split, data = recipe.train, recipe.model, recipe.split, recipe.data
    weights = WEIGHTS.get(model.weights, f"initial weights from {Path(model.weights).name}")
    rate = f"learning rate {train.lr:g} ({train.schedule})"
    views = f"Each test image was predicted in {recipe.data.views} views, their probabilities averaged."
    drawn = f"{100 * split.test:g} % test and {100 * split.validation:g} % validation where parts are drawn"
    return [
        f"Split: {split.kind}, {drawn}, seed {split.seed}"
        f"{'' if split.file is None else f', from {Path(split.file).name}'}.",
        f"Network: {model.backbone} with {weights}; images of {data.size} × {data.size} pixels ({data.fit}).",
        *([FUNDUS] if data.preprocess == "fundus" else []),
        f"Objective: {objective_name(recipe)}{constants(recipe)}.",
        f"Training: {train.epochs} epochs at most, batches of {train.batch_size}, {train.optimizer}, {rate}, "
        f"weight decay {train.weight_decay:g}, seed {recipe.seed}. {BALANCE[train.balance]}",
        SELECTION[train.select],
        *([views] if recipe.data.views > 1 else []),
    ]


def objective_name(recipe: Recipe) -> str:
    """Return the objective in words, with the system that DANIL's term was added to."""
    chosen = recipe.objective
    name = METHODS.get(chosen.name, chosen.name)
    added = chosen.name == "danil" and chosen.base != "base"
    return f"{name}, added to {METHODS.get(chosen.base, chosen.base)}" if added else name


def constants(recipe: Recipe) -> str:
    """Return DANIL's constants, nothing for another objective."""
    chosen = recipe.objective
    if chosen.name == "ohem":
        return f" (share kept {chosen.keep:g})"
    if chosen.name != "danil":
        return ""
    unusual = "" if chosen.rival == "predicted" else f", rival {chosen.rival}"
    unusual += "" if chosen.layer is None else f", maps at {chosen.layer}"
    unusual += ", no gradient through the maps: trains as without the term" if chosen.detach else ""
    weight = f"λ = {chosen.weight:g}" if chosen.strength is None else f"strength {chosen.strength:g}"
    return (
        f" ({weight}, ε = {chosen.epsilon:g}, distance {chosen.distance}, map scale {chosen.map_scale}, "
        f"normalization {chosen.normalization}, form {chosen.form}{unusual})"
    )


def provenance(record: RunRecord) -> Facts:
    """Return digests, versions and command."""
    said = record.environment
    facts: Facts = [("Run folder", record.name)]
    if said.get("command"):
        facts.append(("Command", shlex.join(map(str, said["command"]))))
    facts.append(("Data digest", str(record.data["digest"])))
    for file in (record.folder.recipe, record.folder.manifest, record.folder.predictions, weights_file(record)):
        if file is not None and file.is_file():
            facts.append((f"SHA-256 of {file.name}", digest(file)))
    if record.log is not None and "seconds" in record.log:
        facts.append(("Training time", f"{record.log['seconds'].sum():,.0f} s in {plural(len(record.log), 'epoch')}"))
    for key, name in (("git", "Code (git)"), ("python", "Python"), ("platform", "Platform"), ("threads", "Threads")):
        if said.get(key) is not None:
            facts.append((name, str(said[key])))
    if said.get("devices"):
        facts.append(("Device", ", ".join(map(str, said["devices"]))))
    versions = {name: version for name, version in said.get("versions", {}).items() if version}
    if versions:
        facts.append(("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    return facts


def weights_file(record: RunRecord) -> Path | None:
    """Return the checkpoint that predictions come from."""
    return next((file for name in ("best", "last") if (file := record.folder.checkpoint(name)).is_file()), None)
