"""Published pi0 and pi0.5 checkpoints as published: one recipe for each name.

    published = load_policy("pi05_libero", folder, base=base, mesh=mesh)

A recipe is what the weights were trained with and no file of openpi's says: the length
of a chunk, the prompt, the pictures, the kind of units. LeRobot's folders say it.
openpi's third camera, which LIBERO lacks, is masked there: no token sees it and none is
counted before another, so that two views compute the same without it.
"""

import dataclasses
from pathlib import Path
from typing import Mapping, NamedTuple

import jax
from jax.sharding import Mesh

from omnivla_jax.core import paths
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import norm_stats
from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.inference import PolicySpec
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.pretrained import lerobot
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import load
from omnivla_jax.policy.pretrained.published_recipe import PublishedRecipe
from omnivla_jax.policy.pretrained.readers import ORBAX_TREE, require_exists

LIBERO = "physical-intelligence/libero"  # the data set whose statistics are stored
SIX_OF_SEVEN = (True,) * 6 + (False,)  # all of an action but the gripper
TOKENIZERS = ("paligemma_tokenizer.model", "tokenizer.model")  # looked for in a folder


RECIPES: Mapping[str, PublishedRecipe] = {
    # LIBERO's actions are relative already; openpi subtracted the state from them once
    # more when it trained pi0_libero, and adds it again.
    "pi0_libero": PublishedRecipe(
        "pi0", 50, 48, "mean_std", LIBERO, delta_mask=SIX_OF_SEVEN
    ),
    "pi05_libero": PublishedRecipe("pi05", 10, 200, "quantiles", LIBERO),
    "pi0_base": PublishedRecipe("pi0", 50, 48, "mean_std", None),
    "pi05_base": PublishedRecipe(
        "pi05", 50, 200, "quantiles", None, state_in_prompt=True
    ),
}
LEROBOT = "lerobot"  # whatever pi0 or pi0.5 a folder of LeRobot's holds
NAMES = (*RECIPES, LEROBOT)


class Conventions(NamedTuple):
    """What acting takes beside parameters."""

    config: PolicyConfig
    normalizer: Normalizer
    recipe: PublishedRecipe


class Published(NamedTuple):
    """A policy that is ready to act."""

    params: PyTree
    normalizer: Normalizer
    config: PolicyConfig
    recipe: PublishedRecipe


def load_policy(
    name: str,
    folder: Path,
    *,
    base: PolicyConfig,
    mesh: Mesh,
    tokenizer: str | None = None,
    stats: Path | None = None,
) -> Published:
    """Load a published checkpoint with everything that it was trained with.

    Args:
      name: of its recipe.
      folder: of the checkpoint: openpi's, with `params` and `assets`, or one with
        .safetensors.
      base: sizes of the encoder and the experts; its ends become those of pi0.
      mesh: devices over which the parameters are sharded.
      tokenizer: of `PolicyConfig`; None: the SentencePiece model in the folder.
      stats: its `norm_stats.json`; None: that of the recipe's data set in `assets`.

    Raises:
      ValueError: the weights do not fit, or the tokenizer or the statistics are not
        there; the message says where they were looked for.
    """
    config, normalizer, recipe = conventions(
        name, folder, base=base, tokenizer=tokenizer, stats=stats
    )
    folder = require_exists(folder)
    files = [(get_format(source_format(name, folder)), folder)]
    # Every parameter has a source, so that no initial value is drawn.
    loaded = load(jax.random.key(0), files, config=config, mesh=mesh)
    return Published(loaded.params, normalizer, config, recipe)


def conventions(
    name: str,
    folder: Path,
    *,
    base: PolicyConfig,
    tokenizer: str | None = None,
    stats: Path | None = None,
) -> Conventions:
    """All of a published checkpoint but its parameters; arguments of `load_policy`."""
    folder = require_exists(folder)
    recipe = get_recipe(name, folder)
    config = dataclasses.replace(
        recipe.update_config(base), tokenizer=tokenizer or find_tokenizer(folder)
    )
    stats = stats or find_stats(name, folder)
    read = lerobot.read_stats if stats.suffix == ".safetensors" else norm_stats.read
    normalizer = read(
        stats,
        recipe.normalization,
        proprio_dim=config.robot_proprio_dim,
        action_dim=config.robot_action_dim,
    )
    return Conventions(config, normalizer, recipe)


def policy_spec(config: PolicyConfig, recipe: PublishedRecipe) -> PolicySpec:
    """What `inference.Policy` needs beside parameters and units.

    Args:
      config: of the policy.
      recipe: of the checkpoint.

    Returns:
      The description; pictures of any size are fitted, as openpi's server does.
    """
    return PolicySpec(config, recipe.exec_horizon, recipe.ode_steps, fit_pictures=True)


def get_recipe(name: str, folder: Path) -> PublishedRecipe:
    """The recipe called `name`, or what LeRobot's folder states under that name.

    Raises:
      ValueError: an unknown name, or what `lerobot.read_recipe` raises.
    """
    if name == LEROBOT:
        return lerobot.read_recipe(folder)
    return choose("published policy", name, RECIPES)


def source_format(kind: str, path: Path) -> str:
    """The format of weights: `kind`, or that of the published checkpoint `kind`.

    Those of a checkpoint are openpi's tree, or else have PyTorch's names.
    """
    if kind not in NAMES:
        return kind
    path = paths.hub_snapshot(path)
    model = get_recipe(kind, path).model
    is_tree = any((folder / ORBAX_TREE).is_file() for folder in (path, path / "params"))
    named_so = path.name == "params" or (path / "params").is_dir()
    return model if is_tree or named_so else f"{model}-torch"


def find_tokenizer(folder: Path) -> str:
    """PaliGemma's SentencePiece model beside the weights."""
    for name in TOKENIZERS:
        if (folder / name).is_file():
            return str(folder / name)
    raise ValueError(
        f"{folder} holds no {TOKENIZERS[0]}, with which these weights were trained: "
        "put it there, or name it with --tokenizer."
    )


def find_stats(name: str, folder: Path) -> Path:
    """The statistics of LIBERO that a checkpoint was trained with."""
    if name == LEROBOT:
        return lerobot.find_stats(folder)
    asset_id = RECIPES[name].asset_id
    if asset_id is None:
        raise ValueError(
            f"{name} was not trained on LIBERO and has no statistics of it: fine-tune "
            "it first, or name those of a data set with --norm_stats."
        )
    path = folder / "assets" / asset_id / norm_stats.FILE
    if path.is_file():
        return path
    others = sorted((folder / "assets").rglob(norm_stats.FILE))
    hint = f" (there is {others[0]})" if others else ""
    raise ValueError(
        f"{name} needs its statistics, and {path} is not there{hint}: download the "
        "folder `assets` too, or name them with --norm_stats."
    )
