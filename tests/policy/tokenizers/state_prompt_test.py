"""pi0.5's prompt put together in parts is the one that openpi writes in one piece."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy.tokenizers import hashed_words, paligemma, state_prompt
from tests.helpers import unoptimized
from tests.helpers.pretrained import published_folder

TASKS = [" put the_bowl\non the stove ", "open it"]
DIMS, LENGTH = 5, 120


@pytest.fixture(scope="module", params=["pieces", "bytes"])
def tokenizer(request, tmp_path_factory):
    """Like Gemma's, digits stand alone; or byte by byte."""
    if request.param == "bytes":
        return paligemma.BYTES
    path = tmp_path_factory.mktemp("model") / "tiny.model"
    published_folder.train_tokenizer(path)
    return paligemma.load(path)


def states() -> np.ndarray:
    """Normal ones, bounds and edges of bins, and what lies outside."""
    random = np.random.default_rng(0).uniform(-1, 1, (6, 2, DIMS))
    edges = np.array([-1, 1, 0, -1 / 128, 0.5])
    special = np.stack([edges, edges - 1e-7])[None]
    return np.concatenate([random, special, 3 * special]).astype(np.float32)


def openpi_prompt(task: str, state: np.ndarray) -> str:
    numbers = np.digitize(state, bins=np.linspace(-1, 1, 256 + 1)[:-1]) - 1
    text = task.strip().replace("_", " ").replace("\n", " ")
    return f"Task: {text}, State: {' '.join(map(str, numbers))};\nAction: "


def test_parts_make_openpi_prompt(tokenizer):
    table = state_prompt.make_table(tokenizer)
    settings = {"tokenizer": tokenizer, "table": table, "dims": DIMS}
    parts = [state_prompt.encode_task(task, LENGTH, **settings) for task in TASKS]
    tokens, mask = (jnp.asarray(np.stack(x)) for x in zip(*parts))
    append = unoptimized.jit(lambda *x: state_prompt.append_state(table, *x))
    for state in states():
        found, seen = append(tokens, mask, jnp.asarray(state))
        assert found.dtype == jnp.int32 and found.shape == mask.shape
        for row, task in enumerate(TASKS):
            whole = tokenizer.pieces(openpi_prompt(task, state[row]))
            assert found[row][seen[row]].tolist() == [tokenizer.begin, *whole]
            assert not found[row][~seen[row]].any()
            count = len(whole) + 1
            np.testing.assert_array_equal(seen[row], np.arange(LENGTH) < count)


def test_lengths_of_states_do_not_retrace(tokenizer):
    table = state_prompt.make_table(tokenizer)
    append = compilation.jit(
        lambda *x: state_prompt.append_state(table, *x), fused=True
    )
    task = state_prompt.encode_task(
        "open it", LENGTH, tokenizer=tokenizer, table=table, dims=1
    )
    tokens, mask = (jnp.asarray(x)[None] for x in task)
    states = (jnp.full((1, 1), value) for value in (-1.0, 0.9))
    ends = {int(append(tokens, mask, state)[1].sum()) for state in states}
    assert len(ends) == 2 and append._cache_size() == 1


def test_a_prompt_that_may_not_fit_is_refused(tokenizer):
    table = state_prompt.make_table(tokenizer)
    with pytest.raises(ValueError, match=r"needs .* tokens and the state up to .*=30"):
        state_prompt.encode_task(
            "open it", 30, tokenizer=tokenizer, table=table, dims=DIMS
        )
    with pytest.raises(ValueError, match="holds no word"):
        state_prompt.encode_task(" ", 99, tokenizer=tokenizer, table=table, dims=1)


def test_a_tokenizer_that_joins_numbers_is_refused(tmp_path):
    path = tmp_path / "joined.model"
    published_folder.train_tokenizer(path, user_defined_symbols=["\n", "5;"])
    with pytest.raises(ValueError, match="joins numbers with what is beside"):
        state_prompt.make_table(paligemma.load(path))


def test_words_spell_it_too():
    table = state_prompt.make_table(hashed_words.HASHED_WORDS)
    assert table.tokens.shape == (257, 1) and len(table.end) == 1
    assert jax.tree.leaves(table)[0].max() < hashed_words.VOCAB
