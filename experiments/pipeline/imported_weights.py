"""Imports public weights into a folder, and restores them for a policy.

FOLDER/weights.json    the preset, the sources, settings unlike the preset's
FOLDER/step-00000000/  the parameters, an `omnivla_jax.train.checkpoints` of them

A kind of source is a format (`pretrained.formats`) or a published checkpoint by its
name (`pretrained.published`). Imported alone and without a spatial expert, a published
one is stored with its units and conventions, so that `inference.load` acts by it.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh

from experiments.pipeline.workdir import enclosing_run
from experiments.reporting.files import write_json
from omnivla_jax.core import checkpoint_files, sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained import published
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import Loaded, load
from omnivla_jax.train import checkpoints
from omnivla_jax.train.state import TrainState

METADATA = "weights.json"
PUBLIC = (".safetensors", ".npz", ".bin", ".pt", ".pth")  # of public weights


@dataclass(frozen=True)
class WeightsMetadata:
    """Origin of imported parameters, and the policy that they are for."""

    preset: str
    spatial: bool  # whether the policy has the spatial expert
    sources: tuple[tuple[str, str], ...]  # (kind, path), in order
    config_updates: dict[str, Any]  # settings of PolicyConfig unlike the preset's


def import_files(
    folder: Path,
    metadata: WeightsMetadata,
    *,
    seed: int,
    tokenizer: str | None = None,
    stats: Path | None = None,
) -> Loaded:
    """Load public weights into a policy and store its parameters.

    Args:
      folder: gets the parameters and their metadata.
      metadata: sources and preset; `config_updates` is filled in here.
      seed: of the parameters that no file covers.
      tokenizer: of a published checkpoint; None: the one in its folder.
      stats: its statistics; None: those in its folder.

    Returns:
      The parameters, and the names that no file covers.

    Raises:
      ValueError: an unknown preset or source, and what `load` and
        `published.conventions` raise.
    """
    base = configs.preset(metadata.preset)
    base = base if metadata.spatial else base.without_spatial()
    config, files = base, []
    for kind, path in metadata.sources:
        weights_format = get_format(published.source_format(kind, Path(path)))
        config = weights_format.update_config(config)
        if kind in published.NAMES:
            recipe = published.get_recipe(kind, Path(path))
            config = recipe.training_config(config)
        files.append((weights_format, Path(path)))
    acting = _conventions(metadata, base, tokenizer, stats)
    mesh = sharding.make_mesh(fsdp=len(jax.devices()))
    loaded = load(jax.random.key(seed), files, config=config, mesh=mesh)
    updates = {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(PolicyConfig)
        if getattr(config, field.name) != getattr(base, field.name)
    }
    metadata = dataclasses.replace(metadata, config_updates=updates)
    write_json(folder / METADATA, dataclasses.asdict(metadata))
    _save(folder, loaded.params, acting, seed=seed)
    return loaded


def _conventions(
    metadata: WeightsMetadata,
    base: PolicyConfig,
    tokenizer: str | None,
    stats: Path | None,
) -> published.Conventions | None:
    """How a published checkpoint acts; None where others are imported with it."""
    kind, path = metadata.sources[0]
    if len(metadata.sources) > 1 or kind not in published.NAMES or metadata.spatial:
        return None
    recipe = published.get_recipe(kind, Path(path))
    if kind != published.LEROBOT and recipe.asset_id is None and stats is None:
        return None  # a base checkpoint, which has no units of this robot
    return published.conventions(
        kind, Path(path), base=base, tokenizer=tokenizer, stats=stats
    )


def _save(
    folder: Path, params: PyTree, acting: published.Conventions | None, *, seed: int
) -> None:
    """Store parameters, with what acting by them takes where that is known."""
    if acting is None:
        checkpoints.save(folder, params, history=[])
        return
    spec = published.policy_spec(acting.config, acting.recipe)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        seed=jnp.asarray(seed, jnp.uint32),
        params=params,
        ema_params=None,
        reference=None,
        normalizer=acting.normalizer,
        opt_state=(),
    )
    checkpoints.save(folder, state, history=[], policy=spec.to_json())


def update_config(folder: Path, config: PolicyConfig) -> PolicyConfig:
    """Change a policy's config as its imported weights need it; reads no array.

    Args:
      folder: of the weights.
      config: of the preset that the weights were imported for.

    Raises:
      ValueError: there are no weights, or they do not fit `config`.
    """
    path, metadata = _stored(folder)
    updated = dataclasses.replace(config, **metadata.config_updates)
    stored, expected = (
        {name: tuple(leaf.shape) for name, leaf in flatten_dict(tree, sep="/").items()}
        for tree in (
            checkpoints.shapes(path),
            parameters.shapes(dataclasses.replace(updated, noise_head=False)),
        )
    )
    differing = [
        f"{name} {stored.get(name, 'missing')} instead of {expected.get(name, 'none')}"
        for name in sorted(set(stored) | set(expected))
        if stored.get(name) != expected.get(name)
    ]
    if differing:
        kind = "with" if metadata.spatial else "without"
        raise ValueError(
            f"The weights in {folder}, imported for preset {metadata.preset!r} {kind} "
            f"the spatial expert, do not fit policy.preset and policy.spatial: "
            f"{differing[0]}, {len(differing)} names in all. Choose the same, or "
            "import them again for these."
        )
    return updated


def restore(
    folder: Path, key: jax.Array, config: PolicyConfig, *, mesh: Mesh | None
) -> PyTree:
    """Restore imported parameters.

    Args:
      folder: of the weights.
      key: of a noise head, which imported weights never have; consumed.
      config: as `update_config` returned it.
      mesh: devices that the parameters are sharded over; None: one device.

    Raises:
      ValueError: the files are damaged.
    """
    path, _ = _stored(folder)
    stored = dataclasses.replace(config, noise_head=False)
    shapes = parameters.shapes(stored)
    if mesh is not None:
        shapes = jax.tree.map(
            lambda leaf, placed: leaf.update(sharding=placed),
            shapes,
            parameters.shardings(mesh, stored),
        )
    try:
        params = checkpoints.restore(path, shapes).tree
    except ValueError as error:
        raise ValueError(
            f"The weights in {folder} cannot be read: import them again."
        ) from error
    if config.noise_head:
        params["action"]["noise"] = parameters.init_noise(key, config)
    return params


def locate(path: Path) -> Path:
    """Find the folder of imported weights.

    Args:
      path: that folder, the only one of its kind in `path`, or a folder inside of it.

    Raises:
      ValueError: there is none; the message says what `path` is.
    """
    depth = int(path.name.startswith(checkpoint_files.PREFIX))
    if path.name in checkpoint_files.ITEMS:
        depth = 2
    candidates = [path, path.parent, path.parent.parent] if path.is_dir() else [path]
    for folder in candidates[: 1 + depth]:
        if (folder / METADATA).is_file():
            return folder
    below = sorted(path.glob(f"*/{METADATA}"))
    if len(below) == 1:
        return below[0].parent
    raise ValueError(
        f"policy.weights={path} holds no imported weights: {_describe(path, below)} "
        "make them with `python -m experiments.import_weights --out=FOLDER`, or leave "
        "it empty."
    )


def has_metadata(folder: Path) -> bool:
    """Whether `folder` holds the metadata file of an import."""
    try:
        WeightsMetadata(**json.loads((folder / METADATA).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return False
    return True


def _describe(path: Path, below: Sequence[Path]) -> str:
    """The content of a folder without imported weights, for the middle of a sentence.

    Args:
      path: of the folder.
      below: metadata files in its folders.
    """
    if not path.is_dir():
        return "it is a file;" if path.exists() else "it does not exist;"
    if below:
        return f"name one of {', '.join(str(file.parent) for file in below)}, or"
    if run := enclosing_run(path):
        return f"it belongs to the run {run}, which --config.init_checkpoint takes;"
    public = [p for kind in PUBLIC for p in sorted(path.glob(f"*{kind}"))]
    if public:
        return f"public ones such as {public[0].name} are to be imported first:"
    return f"{checkpoint_files.contents(path)};"


def _stored(folder: Path) -> tuple[Path, WeightsMetadata]:
    """The checkpoint of the parameters, and their metadata."""
    folder = locate(folder)
    path, file = checkpoints.latest(folder), folder / METADATA
    if path is None:
        raise ValueError(
            f"{folder} holds the metadata of an import that was interrupted: import "
            "the weights again."
        )
    try:
        return path, WeightsMetadata(**json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{file} cannot be read ({error}): import the weights again."
        ) from error
