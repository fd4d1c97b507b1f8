"""Which shapes a category gets: a replayed recipe, a vessel's, or the automatic fit."""

from experiments.geometry.fit import LIMIT, fit
from experiments.geometry.recipes import NO_CAPSULES, REPLAYED
from experiments.geometry.recorded import Category, Shapes
from experiments.geometry.vessels import VESSELS


def shapes(category: Category) -> tuple[Shapes, ...]:
    """The shapes of every part of `category`, in its order."""
    if category.name in REPLAYED:
        return REPLAYED[category.name]()
    if category.name in VESSELS:
        (part,) = category.parts
        return (Shapes(VESSELS[category.name](part.shapes.boxes), NO_CAPSULES),)
    recorded = [part.shapes for part in category.parts]
    return tuple(
        Shapes(fit(part.boxes, limit=LIMIT), part.capsules) for part in recorded
    )
