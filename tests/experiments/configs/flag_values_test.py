"""Tests of the values of flags that several launchers share."""

import pytest
from absl import flags

from experiments.configs.flag_values import task_rows


@pytest.mark.parametrize("words, rows", [(["0", "3"], (0, 3)), (["7", ""], (7,))])
def test_tasks_are_numbers_after_commas(words, rows):
    assert task_rows(words) == rows


def test_a_word_is_refused_with_the_flag():
    with pytest.raises(flags.Error, match=r"--tasks=0,x takes numbers"):
        task_rows(["0", "x"])
