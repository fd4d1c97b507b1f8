"""Rewordings: of every form, different from each other, held-out ones never trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.sim.libero import tasks
from omnivla_jax.world.perturbations import kinds, language

SUITES = ("libero_spatial", "libero_object", "libero_goal", "libero_10")


@pytest.mark.parametrize("suite", SUITES)
def test_phrases_of_a_task_are_all_different(suite):
    for task in tasks.suite(suite).tasks:
        phrases = language.phrases(task.instruction)
        assert len({task.instruction, *phrases}) == language.COUNT + 1, phrases
        assert all(text == text.lower() for text in phrases)


def test_phrases_have_the_originals_length():
    """LIBERO-Plus' have 12 to 19 words on average, by suite."""
    words = [
        len(text.split())
        for suite in SUITES
        for task in tasks.suite(suite).tasks
        for text in language.phrases(task.instruction)
    ]
    assert 12 < np.mean(words) < 19 and max(words) <= 45


def test_unknown_words_are_reworded_too():
    assert len(set(language.phrases("dust the zither"))) > 3 * language.PER_FORM


def test_rows_of_the_table_are_the_tasks_phrases():
    texts = ("open the drawer", "put the bowl on the plate")
    table = language.table(texts)
    assert len(table) == 2 * (language.COUNT + 1)
    instruction = jnp.array([1, 0, 1, 2, -1])
    phrase = jnp.array([0, 1, language.COUNT, 1, 0])
    rows = np.asarray(language.row(instruction, phrase, len(texts)))
    assert list(rows[3:]) == [-1, -1]
    found = [table[row] for row in rows[:3]]
    assert found[0] == texts[1]
    assert found[1] == language.phrases(texts[0])[0]
    assert found[2] == language.phrases(texts[1])[-1]


def test_forms_and_splits_are_respected():
    keys = jax.random.split(jax.random.key(0), 200)
    form = jnp.arange(200) % (len(language.FORMS) + 1) - 1
    active = form[:, None] == jnp.arange(len(language.FORMS))
    drawn = {
        split: np.asarray(language.draw(keys, active, split=split))
        for split in ("training", "held_out")
    }
    for phrase in drawn.values():
        assert ((phrase == language.OWN_WORDS) == (np.asarray(form) < 0)).all()
        words = phrase > 0
        assert ((phrase[words] - 1) // language.PER_FORM == form[words]).all()
    assert not set(drawn["training"]) & set(drawn["held_out"]) - {language.OWN_WORDS}
    assert (language.draw(keys, active, severity=0.0) == language.OWN_WORDS).all()
    assert kinds.DIMENSIONS["language"] == language.FORMS
