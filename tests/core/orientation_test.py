"""Image conventions, by what each project's evaluator does to LIBERO's rendering."""

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.orientation import CONVENTIONS, convert_image_convention

UPRIGHT = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
RENDERED = UPRIGHT[:, ::-1]  # LIBERO's obs["agentview_image"]: OpenGL's rows


def test_libero_is_upside_down():
    np.testing.assert_array_equal(convert_image_convention(UPRIGHT, "libero"), RENDERED)


@pytest.mark.parametrize("project", ["openvla", "openpi", "modified_libero_rlds"])
def test_the_evaluators_turn_by_180_degrees(project):
    turned = np.rot90(RENDERED, 2, axes=(1, 2))  # their img[::-1, ::-1]
    np.testing.assert_array_equal(convert_image_convention(UPRIGHT, project), turned)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_each_undoes_itself_for_both_kinds_of_array(convention):
    there = convert_image_convention(jnp.asarray(UPRIGHT), convention)
    np.testing.assert_array_equal(there, convert_image_convention(UPRIGHT, convention))
    np.testing.assert_array_equal(convert_image_convention(there, convention), UPRIGHT)


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="choose from upright, libero"):
        convert_image_convention(UPRIGHT, "opengl")
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        convert_image_convention(UPRIGHT[0, :, :, 0], "libero")
