"""Tests of omnivla_jax.sim.libero.libero_plus: names taken apart, and instructions."""

import pytest

from omnivla_jax.sim.libero import libero_plus
from omnivla_jax.sim.libero.libero_plus import Variant

CENTER = "pick_up_the_black_bowl_from_table_center_and_place_it_on_the_plate"


@pytest.mark.parametrize("name, base, variant, stored", [
    ("a", "a", Variant(), "a"),
    # LIBERO's own name holds "_table_", which begins no suffix.
    (CENTER, CENTER, Variant(), CENTER),
    (f"{CENTER}_table_3", CENTER, Variant(table=3), f"{CENTER}_table_3"),
    ("a_tb_12", "a", Variant(tb=12), "a_tb_12"),
    ("a_light_50", "a", Variant(light=50), "a_light_50"),
    ("a_add_30", "a", Variant(add=30), "a_add_30"),
    ("a_language_7", "a", Variant(language=7), "a_language_7"),
    ("a_level5_sample4", "a", Variant(level=5, sample=4), "a_level5_sample4"),
    ("a_moved_level1_sample2", "a", Variant(level=1, sample=2),
     "a_moved_level1_sample2"),
    ("a_view_0_15_100_2_352_initstate_3_noise_41", "a",
     Variant(view=(0, 15, 100, 2, 352), initstate=3, noise=41), "a"),
    ("a_initstate_3", "a", Variant(initstate=3), "a"),
    ("a_noise_9", "a", Variant(noise=9), "a"),
    ("a_language_3_view_0_0_100_0_0_initstate_0", "a",
     Variant(language=3, view=(0, 0, 100, 0, 0), initstate=0), "a_language_3"),
    ("a_light_3_table_4", "a", Variant(light=3, table=4), "a_light_3_table_4"),
    ("KITCHEN_SCENE3_a_add_2 copy 2", "KITCHEN_SCENE3_a", Variant(add=2),
     "KITCHEN_SCENE3_a_add_2 copy 2"),
    # No suffix of LIBERO-Plus: too few numbers, no number, a word in between.
    ("a_view_1_2", "a_view_1_2", Variant(), "a_view_1_2"),
    ("put_it_on_the_light", "put_it_on_the_light", Variant(), "put_it_on_the_light"),
    ("a_table_2_b", "a_table_2_b", Variant(), "a_table_2_b"),
])  # fmt: skip
def test_names_are_taken_apart(name, base, variant, stored):
    assert libero_plus.parse_name(name) == libero_plus.Name(base, variant, stored)


def test_kinds_of_a_variant():
    parsed = libero_plus.parse_name("a_moved_level1_sample2_view_0_0_100_0_0_noise_2")
    assert parsed.variant.kinds == ("level", "view", "noise")
    assert Variant().kinds == ()


@pytest.mark.parametrize("name, language, instructions", [
    ("put_it_down_light_7", "set it down",
     ("set it down", "put it down light 7", "put it down")),
    ("KITCHEN_SCENE10_put_it_down_noise_2", "set it down",
     ("set it down", "put it down noise 2", "put it down")),
    ("put_it_down_language_3", "lower it",
     ("lower it", "lower it", "put it down")),
    ("put_it_down", "", ("put it down",) * 3),
    ("put_it_down_add_3", "", ("put it down", "put it down add 3", "put it down")),
    # A file that repeats its name's suffix in its instruction.
    ("put_it_down_view_0_0_100_0_0", "put it down view 0 0 100 0 0",
     ("put it down", "put it down view 0 0 100 0 0", "put it down")),
])  # fmt: skip
def test_the_instruction_of_each_prompt(name, language, instructions):
    assert (
        tuple(
            libero_plus.instruction(name, language, prompt)
            for prompt in ("clean", "as_published", "file_name")
        )
        == instructions
    )


def test_preambles_are_recognised():
    found = "here are 20 variations of the instruction pick up the black bowl"
    assert libero_plus.PREAMBLE.match(found)
    for text in ("here is the bowl put it down", "put the version on the plate"):
        assert not libero_plus.PREAMBLE.match(text)
