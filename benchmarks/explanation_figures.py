"""Draw the figures of docs/explanation.md from a run on synthetic dermoscopy, small enough for the repository.

    danil train "synthetic:dermoscopy?images=1500&size=96&difficulty=0.4" --recipe quick --out runs/derm-danil
    python benchmarks/explanation_figures.py runs/derm-danil

They are what `danil explain` draws, scaled down and saved as WebP.
"""

import argparse
import tempfile
from pathlib import Path

from PIL import Image

from danil.explanation import explain_run, look_alikes_run

FIGURES = Path(__file__).parents[1] / "docs" / "figures"


def shrunk(source: Path, target: Path, width: int) -> None:
    """Write the picture at this width."""
    with Image.open(source) as picture:
        height = round(picture.height * width / picture.width)
        small = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    target.parent.mkdir(exist_ok=True)
    small.save(target, quality=72, method=6)
    print(f"{target}: {target.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    with tempfile.TemporaryDirectory() as place:
        (maps,) = explain_run(run, count=1, methods=("grad_cam",), out=Path(place) / "maps")
        shrunk(maps, FIGURES / "response-maps.webp", 1200)
        style = {"absolute": True, "smooth": 1.5, "overlay": True, "masks": True}
        (masked,) = explain_run(run, count=1, methods=("grad_cam",), out=Path(place) / "masks", **style)
        shrunk(masked, FIGURES / "evidence.webp", 1200)
        shrunk(look_alikes_run(run, count=4, out=place), FIGURES / "look-alikes.webp", 800)


if __name__ == "__main__":
    main()
