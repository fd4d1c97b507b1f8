"""Task files whose objects all start in one rectangle of a chosen size."""

import re
from pathlib import Path

from omnivla_jax.sim.libero import bddl, files

GROCERIES = (
    "alphabet_soup_1",
    "salad_dressing_1",
    "cream_cheese_1",
    "milk_1",
    "tomato_sauce_1",
    "butter_1",
)


def groceries(folder: Path, half: float) -> Path:
    """Six of libero_object's groceries in a square of 2 `half` m, the basket beside.

    LIBERO's sampler shrinks the square by an object's radius of 2 to 3 cm a side.
    """
    source = files.suite_files("libero_object").paths[0].read_text()
    rectangle = f"({-half:.4f} {-half - 0.1:.4f} {half:.4f} {half - 0.1:.4f})"
    text, count = re.subn(r"\(-0\.145 [^)]*\)", rectangle, source)
    assert count == 1
    own, shared = "floor_other_object_region_.", "floor_target_object_region"
    text, count = re.subn(own, shared, text)
    assert count == len(GROCERIES) - 1
    path = folder / f"groceries_{round(1000 * half)}.bddl"
    path.write_text(text)
    assert bddl.read(path).objects.keys() >= set(GROCERIES)
    return path
