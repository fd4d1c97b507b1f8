"""Folders of published checkpoints in miniature: weights, statistics, tokenizer."""

import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import orbax.checkpoint as ocp
import sentencepiece
from flax import traverse_util

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.published import RECIPES, TOKENIZERS
from omnivla_jax.policy.tokenizers import paligemma
from tests.helpers.pretrained import fakes

# Of which `train_tokenizer` makes its pieces by default.
SENTENCES = (
    "Task: put the bowl on the stove, State: 1 22 103;\nAction: ",
    "open it",
)
ASSETS = Path("assets") / "physical-intelligence" / "libero"


def write(folder: Path, name: str, base: PolicyConfig) -> dict:
    """Write openpi's layout of the checkpoint `name` at the sizes of `base`.

    Returns the statistics that it was "trained" with.
    """
    recipe = RECIPES[name]
    write_params = {"pi0": fakes.pi0, "pi05": fakes.pi05}[recipe.model]
    params = fakes.random_params(recipe.update_config(base))
    arrays = write_params(params, base.vision)
    with ocp.PyTreeCheckpointer() as checkpointer:
        tree = {"params": traverse_util.unflatten_dict(arrays, sep="/")}
        checkpointer.save((folder / "params").absolute(), tree)
    train_tokenizer(folder / TOKENIZERS[0])
    return write_stats(folder / ASSETS / "norm_stats.json")


def write_stats(path: Path) -> dict:
    """Statistics of 8 state and 7 action dimensions, every number its own."""
    random = np.random.default_rng(0)
    stats = {}
    for name, size in (("state", 8), ("actions", 7)):
        low = random.uniform(-1, 0, size)
        stats[name] = {
            "mean": random.uniform(-0.5, 0.5, size).tolist(),
            "std": random.uniform(0.1, 1, size).tolist(),
            "q01": low.tolist(),
            "q99": (low + random.uniform(0.5, 2, size)).tolist(),
        }
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"norm_stats": stats}))
    return stats


def train_tokenizer(
    path: Path, sentences: Sequence[str] = SENTENCES, **options
) -> None:
    """A SentencePiece model with Gemma's marks and byte fallback.

    By default it has pi0.5's lone digits and line ends, too.
    """
    settings: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": 330,
        "split_digits": True,
        "user_defined_symbols": ["\n"],
    }
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter([*sentences] * 9),
        model_prefix=str(path.with_suffix("")),
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        bos_id=paligemma.BEGIN,
        unk_id=3,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        minloglevel=2,
        **(settings | options),
    )
