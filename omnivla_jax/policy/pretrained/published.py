"""Published pi0 and pi0.5 checkpoints as published: one recipe for each name.

    published = load_policy("pi05_libero", folder, base=base, mesh=mesh)

A recipe is what the weights were trained with and no file of them says: the length of a
chunk, the prompt, the pictures, the units. openpi's third camera, which LIBERO lacks,
is masked there: no token sees it and none is counted before another, so that two views
compute the same without it.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, NamedTuple

import jax
from jax.sharding import Mesh

from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import norm_stats
from omnivla_jax.policy.config import PolicyConfig, choose
from omnivla_jax.policy.normalize import Normalizer, delta_mask
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import load
from omnivla_jax.policy.pretrained.readers import ORBAX_TREE, require_exists

LIBERO = "physical-intelligence/libero"  # the data set whose statistics are stored
SIX_OF_SEVEN = delta_mask(6, -1)  # all of an action but the gripper
TOKENIZERS = ("paligemma_tokenizer.model", "tokenizer.model")  # looked for in a folder


@dataclass(frozen=True)
class PublishedRecipe:
    """How a checkpoint was trained, and how openpi plays it in LIBERO."""

    model: str  # "pi0" or "pi05"
    horizon: int  # actions of a chunk
    max_tokens: int  # of the prompt
    normalization: str  # of `norm_stats.MODES`
    asset_id: str | None  # folder of its statistics in `assets`; None: none of LIBERO
    exec_horizon: int = 5  # actions of a chunk that are executed
    ode_steps: int = 10
    image_convention: str = "openpi"
    state_in_prompt: bool = False
    delta_mask: tuple[bool, ...] = ()

    def update_config(self, config: PolicyConfig) -> PolicyConfig:
        """`config` with what the weights presuppose beside their sizes."""
        config = get_format(self.model).update_config(config)
        return dataclasses.replace(
            config,
            horizon=self.horizon,
            max_tokens=self.max_tokens,
            image_convention=self.image_convention,
            state_in_prompt=self.state_in_prompt,
            delta_mask=self.delta_mask,
        )

    def training_config(self, config: PolicyConfig) -> PolicyConfig:
        """As `update_config`, for training that goes on from the weights.

        Its own data give the units of actions, and padding of a prompt its length.
        """
        changed = self.update_config(config)
        return dataclasses.replace(changed, max_tokens=config.max_tokens, delta_mask=())


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
    recipe = choose("published policy", name, RECIPES)
    folder = require_exists(folder)
    config = dataclasses.replace(
        recipe.update_config(base), tokenizer=tokenizer or find_tokenizer(folder)
    )
    normalizer = norm_stats.read(
        stats or find_stats(name, folder),
        recipe.normalization,
        proprio_dim=config.robot_proprio_dim,
        action_dim=config.robot_action_dim,
    )
    return Conventions(config, normalizer, recipe)


def source_format(kind: str, path: Path) -> str:
    """The format of weights: `kind`, or that of the published checkpoint `kind`.

    Those of a checkpoint are openpi's tree, or else have PyTorch's names.
    """
    if kind not in RECIPES:
        return kind
    path, model = Path(path).expanduser(), RECIPES[kind].model
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
