"""Where another cohort's results go: never into a run, never over the results of other data."""

import json
import re
from pathlib import Path

from danil.data import write_atomically
from danil.data.listing import expanded
from danil.data.sources import SYNTHETIC, parsed_source
from danil.evaluation.errors import EvaluationError

RECORD = "cohort.json"
ADVICE = "Choose another folder by `--out DIR`."


def cohort_folder(run: Path, source: str) -> Path:
    """Return the folder in the run for a cohort's results: `cohorts/` and the last two parts of the data's path."""
    place = cohort_place(source)
    words = place if place.startswith(f"{SYNTHETIC}:") else "-".join([*Path(place).parts[-2:-1], Path(place).stem])
    return run / "cohorts" / (re.sub(r"[^\w.-]+", "-", words).strip("-.") or "data")


def cohort_place(source: str) -> str:
    """Return which data a source text names: the absolute path without options, or the text of a synthetic set."""
    if source.startswith(f"{SYNTHETIC}:"):
        return source
    return str(expanded(parsed_source(source).path).resolve())


def check_free(folder: Path, source: str) -> None:
    """Refuse a folder whose content a cohort's results must not replace.

    Raises:
        EvaluationError: the folder is a run, or holds results that are not of these data.
    """
    check_no_run(folder)
    held = sorted(file.name for pattern in ("metrics.json", "predictions*.csv") for file in folder.glob(pattern))
    if held and recorded_place(folder) != cohort_place(source):
        raise EvaluationError(
            f"`{folder}` holds {' and '.join(held)} of {recorded_place(folder) or 'unknown data'}, not of "
            f"{cohort_place(source)}. {ADVICE}"
        )


def check_no_run(folder: Path) -> None:
    """Raise `EvaluationError` where a folder is a run, whose own results others would replace."""
    if (folder / "data.json").exists() or (folder / "recipe.toml").exists():
        raise EvaluationError(f"`{folder}` is a run folder; these results would replace its own. {ADVICE}")


def recorded_place(folder: Path) -> str | None:
    """Return which data the results in a folder are of, `None` where nothing says so."""
    try:
        return str(json.loads((folder / RECORD).read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def write_record(folder: Path, source: str) -> None:
    """Write which data the folder's results are of."""
    record = {"data": cohort_place(source), "source": source}
    write_atomically(folder / RECORD, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
