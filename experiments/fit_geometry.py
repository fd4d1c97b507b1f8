"""Writes omnivla_jax/sim/data/objects.json from LIBERO's recorded collision geometry.

Run: `python -m experiments.fit_geometry`; takes about half a minute of one core.
How far the fits deviate: `python -m experiments.benchmarks.geometry`.
"""

from pathlib import Path

from absl import app, flags, logging

from experiments.geometry import choice, document, recorded

ROOT = Path(__file__).parents[1]

OUTPUT = flags.DEFINE_string(
    "output",
    str(ROOT / "omnivla_jax/sim/data/objects.json"),
    "Where the fitted shapes are written.",
)


def main(argv: list[str]) -> None:
    """Fit every category and write the table."""
    del argv
    categories = recorded.read()
    fitted = {}
    for name, category in categories.items():
        fitted[name] = choice.shapes(category)
        before = sum(recorded.count(part.shapes) for part in category.parts)
        after = sum(recorded.count(shapes) for shapes in fitted[name])
        logging.info("%s: %d primitives for %d", name, after, before)
    path = Path(OUTPUT.value)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document.text(categories, fitted))


if __name__ == "__main__":
    app.run(main)
