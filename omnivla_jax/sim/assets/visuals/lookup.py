"""What categories look like where their collision shapes would not convince.

Looks are tables of render-only primitives, and of the materials of collision shapes.
Everything else is drawn as it collides, in the material of its name.
"""

from omnivla_jax.sim.assets.primitives import Primitive
from omnivla_jax.sim.assets.visuals import fixtures as fixture_visuals
from omnivla_jax.sim.assets.visuals import groceries as grocery_visuals
from omnivla_jax.sim.assets.visuals import tableware
from omnivla_jax.sim.assets.visuals.fixtures import Look

HIDDEN = "hidden"  # the material of collision shapes that are not drawn
LOOKS: dict[str, dict[str, Look]] = {
    **{name: {"": Look(row)} for name, row in grocery_visuals.LOOKS.items()},
    **{name: {"": Look(row)} for name, row in tableware.LOOKS.items()},
    **fixture_visuals.LOOKS,
}


def shapes(
    category: str, part: str, collision: tuple[Primitive, ...]
) -> tuple[Primitive, ...]:
    """The primitives that draw a part whose collision shapes are `collision`."""
    look = LOOKS.get(category, {}).get(part, Look())
    if look.shapes:
        return look.shapes
    names = look.materials or (category,)
    painted = (
        shape._replace(material=names[min(index, len(names) - 1)])
        for index, shape in enumerate(collision)
    )
    drawn = tuple(shape for shape in painted if shape.material != HIDDEN)
    return drawn + look.extra
