"""Tests of omnivla_jax.world.materials: the colours of recoloured categories."""

import numpy as np
import pytest

from omnivla_jax.sim import scene as scenes
from omnivla_jax.sim.libero import files
from omnivla_jax.world import visual_scene
from omnivla_jax.world.materials import MATERIALS, material


def test_a_suffix_replaces_both_colours():
    assert material("plate") == MATERIALS["plate"]
    red = material("plate@ff0033")
    assert red.rgb == pytest.approx((1.0, 0.0, 0.2))
    assert red.rgb2 == pytest.approx((0.75, 0.0, 0.15))
    assert red[2:] == MATERIALS["plate"][2:]
    with pytest.raises(KeyError):
        material("no_such@ff0033")


@pytest.mark.filterwarnings("ignore::omnivla_jax.sim.libero.task_files.TaskFileWarning")
def test_a_recoloured_object_has_its_colour(tmp_path):
    text = files.suite_files("libero_goal").paths[8].read_text()
    path = tmp_path / "a.bddl"
    path.write_text(text.replace("- plate", "- yellow_plate"))
    scene = scenes.make(path, engine="mujoco")
    visuals = visual_scene.make(scene)
    base = visual_scene.make(scenes.make("libero_goal", tasks=(8,), engine="mujoco"))
    count = len(MATERIALS)
    np.testing.assert_array_equal(visuals.materials.rgb[:count], base.materials.rgb)
    yellow = np.array([0xED, 0xC2, 0x1F]) / 255
    np.testing.assert_allclose(visuals.materials.rgb[count:], [yellow], atol=1e-6)
    drawn = {scene.visual_model.mat(row).name
             for row in scene.visual_model.geom_matid if row >= 0}  # fmt: skip
    assert "plate@edc21f" in drawn and "plate" not in drawn
