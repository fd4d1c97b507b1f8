"""Writes the geometry in omnivla_jax/sim/data/categories from LIBERO's recorded shapes.

Run: `python -m experiments.fit_geometry`; takes about half a minute of one core.
How far the fits deviate: `python -m experiments.benchmarks.geometry`.
"""

import json
from pathlib import Path

from absl import app, flags, logging

from experiments.geometry import choice, document, recorded

ROOT = Path(__file__).parents[1]

OUTPUT = flags.DEFINE_string(
    "output",
    str(ROOT / "omnivla_jax/sim/data/categories"),
    "The folder of the categories' files, whose fitted shapes are written.",
)


def main(argv: list[str]) -> None:
    """Fit every category and write the table."""
    del argv
    categories = recorded.read()
    folder = Path(OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    for name, category in categories.items():
        fitted = choice.shapes(category)
        before = sum(recorded.count(part.shapes) for part in category.parts)
        after = sum(recorded.count(shapes) for shapes in fitted)
        logging.info("%s: %d primitives for %d", name, after, before)
        path = folder / f"{name}.json"
        records = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(document.text({name: category}, {name: fitted}, records))


if __name__ == "__main__":
    app.run(main)
