"""Tests of the values of flags that several launchers share."""

import pytest
from absl import flags

from experiments.configs.flag_values import chosen_tasks, task_rows
from omnivla_jax.sim.libero import tasks


@pytest.mark.parametrize("words, rows", [(["0", "3"], (0, 3)), (["7", ""], (7,))])
def test_tasks_are_numbers_after_commas(words, rows):
    assert task_rows(words) == rows


def test_a_word_is_refused_with_the_flag():
    with pytest.raises(flags.Error, match=r"--tasks=0,x takes numbers"):
        task_rows(["0", "x"])


def test_without_the_flag_all_rows_are_chosen():
    suite = tasks.suite("libero_goal")
    assert chosen_tasks(None, suite) == tuple(range(10))
    assert chosen_tasks(["7", "3"], suite) == (7, 3)
    with pytest.raises(ValueError, match=r"Unknown tasks \[10\]"):
        chosen_tasks(["10"], suite)
