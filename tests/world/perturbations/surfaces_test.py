"""Surfaces: enough families, splits apart, only the rows that are meant."""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.world.perturbations import surfaces
from omnivla_jax.world.visual_scene import material_names

COUNT = 200
KEYS = jax.random.split(jax.random.key(0), COUNT)
OWN = jnp.zeros((COUNT, 5), jnp.int32)


def draw(active, **options):
    return surfaces.draw(KEYS, jnp.tile(jnp.array(active), (COUNT, 1)), **options)


def test_all_families_of_the_original_are_there():
    families = {name.split("_")[0] for name in surfaces.WORKSPACES}
    wanted = {"brick", "stone", "tiles", "canvas", "denim", "leather", "carbon"}
    assert wanted | {"cardboard", "grey", "marble", "wood", "carpet"} <= families
    violet = [
        m for m in surfaces.WORKSPACES.values() if tuple(m.rgb)[2] > 0.9 > m.rgb[0]
    ]
    assert len(violet) >= 6 and len(surfaces.WALLS) == 15


def test_splits_are_apart_and_complete():
    seen = {
        split: draw([True, True], split=split) for split in ("training", "held_out")
    }
    for name, table in (("workspace", surfaces.WORKSPACES), ("wall", surfaces.WALLS)):
        training, held_out = (set(map(int, getattr(s, name))) for s in seen.values())
        assert not training & held_out
        assert len(training | held_out) > 0.9 * len(table)


def test_only_the_active_surfaces_change(scene, visuals):
    names = material_names(scene)
    for active, meant in (
        ([False, True], {"tabletop_table"}),
        ([True, False], {"tabletop_wall", "tabletop_floor"}),
        ([False, False], set()),
    ):
        change = draw(active)
        varied = surfaces.apply(scene, visuals.materials, change, OWN)
        for field, leaf in varied._asdict().items():
            nominal = np.asarray(getattr(visuals.materials, field))
            differs = (np.asarray(leaf) != nominal).reshape(COUNT, len(names), -1)
            changed = {names[row] for row in np.flatnonzero(differs.any((0, 2)))}
            assert changed == meant if field == "rgb" else changed <= meant


def test_severity_scales_the_colours(scene, visuals):
    row = material_names(scene).index("tabletop_table")
    nominal = np.asarray(visuals.materials.rgb)[row]
    whole, half, none = (
        np.asarray(
            surfaces.apply(
                scene, visuals.materials, draw([False, True], severity=s), OWN
            ).rgb
        )[:, row]
        for s in (1.0, 0.5, 0.0)
    )
    np.testing.assert_allclose(half - nominal, (whole - nominal) / 2, atol=1e-6)
    assert (none == nominal).all()
