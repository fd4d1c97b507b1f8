"""Imported weights in a folder: the parameters, and what they presuppose of a policy.

FOLDER/weights.json    the preset, the sources, what was changed of the preset
FOLDER/step-00000000/  the parameters, an `omnivla_jax.train.checkpoints` of them
"""

import dataclasses
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Sequence

import jax
from flax.traverse_util import flatten_dict
from jax.sharding import Mesh

from experiments.pipeline.workdir import enclosing_run
from experiments.reporting.files import replacing
from omnivla_jax.core import checkpoint_files, sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import Loaded, load
from omnivla_jax.train import checkpoints

RECORD = "weights.json"
PUBLIC = (".safetensors", ".npz", ".bin", ".pt", ".pth")  # how others store weights


@dataclass(frozen=True)
class Record:
    """Where parameters came from and which policy they are for."""

    preset: str
    spatial: bool  # whether the policy has the spatial expert
    sources: tuple[tuple[str, str], ...]  # (kind, path), in order
    adapted: dict[str, Any]  # settings of PolicyConfig that differ from the preset's


def import_files(folder: Path, record: Record, *, seed: int) -> Loaded:
    """Load the files that `record` names into its policy and store the result.

    Returns the parameters, and which of them no file covers: those are drawn by `seed`.
    Raises ValueError on an unknown name, and what `load` raises.
    """
    kinds = [(get_format(name), Path(path)) for name, path in record.sources]
    before = configs.preset(record.preset)
    before = before if record.spatial else before.without_spatial()
    config = functools.reduce(
        lambda so_far, kind: kind[0].update_config(so_far), kinds, before
    )
    mesh = sharding.make_mesh(fsdp=len(jax.devices()))
    loaded = load(jax.random.key(seed), kinds, config=config, mesh=mesh)
    written = dataclasses.replace(record, adapted=_changes(before, config))
    with replacing(folder / RECORD) as temporary:
        text = json.dumps(dataclasses.asdict(written), indent=2)
        temporary.write_text(f"{text}\n", "utf-8")
    checkpoints.save(folder, loaded.params, history=[])
    return loaded


def adapted(folder: Path, config: PolicyConfig) -> PolicyConfig:
    """`config` as the weights in `folder` presuppose it; no array is read.

    Raises ValueError if there are none, or if they do not fit `config`.
    """
    path, record = _stored(folder)
    changed = dataclasses.replace(config, **record.adapted)
    there = _sizes(checkpoints.shapes(path))
    here = _sizes(parameters.shapes(_without_noise(changed)))
    differing = [
        f"{name} {there.get(name, 'missing')} instead of {here.get(name, 'none')}"
        for name in sorted(set(there) | set(here))
        if there.get(name) != here.get(name)
    ]
    if differing:
        kind = "with" if record.spatial else "without"
        raise ValueError(
            f"The weights in {folder}, imported for preset {record.preset!r} {kind} "
            f"the spatial expert, do not fit policy.preset and policy.spatial: "
            f"{differing[0]}, {len(differing)} names in all. Choose the same, or "
            "import them again for these."
        )
    return changed


def restore(
    folder: Path, key: jax.Array, config: PolicyConfig, *, mesh: Mesh | None
) -> PyTree:
    """The parameters in `folder`, spread over `mesh`; None: on one device.

    `config` is what `adapted` returned. `key` is consumed by a noise head, which
    imported weights never have.
    """
    path, _ = _stored(folder)
    stored = _without_noise(config)
    like = parameters.shapes(stored)
    if mesh is not None:
        like = sharding.placed(like, parameters.shardings(mesh, stored))
    try:
        params = checkpoints.restore(path, like).tree
    except ValueError as error:
        raise ValueError(
            f"The weights in {folder} cannot be read: import them again."
        ) from error
    if config.noise_head:
        params["action"]["noise"] = parameters.init_noise(key, config)
    return params


def locate(path: Path) -> Path:
    """The folder of imported weights that `path` means.

    Args:
      path: that folder, the only one of its kind in `path`, or a folder inside of it.

    Raises:
      ValueError: there is none; says what `path` is.
    """
    inner = [path, path.parent, path.parent.parent] if path.is_dir() else [path]
    for folder in inner[: 1 + _depth(path)]:
        if (folder / RECORD).is_file():
            return folder
    below = sorted(path.glob(f"*/{RECORD}"))
    if len(below) == 1:
        return below[0].parent
    raise ValueError(
        f"policy.weights={path} holds no imported weights: {_kind(path, below)} make "
        "them with `python -m experiments.import_weights --out=FOLDER`, or leave it "
        "empty."
    )


def _depth(path: Path) -> int:
    """How far inside a folder of imported weights a path lies, going by its name."""
    if path.name in checkpoint_files.ITEMS:
        return 2
    return int(path.name.startswith(checkpoint_files.PREFIX))


def _kind(path: Path, below: Sequence[Path]) -> str:
    """What a folder without imported weights is, as the middle of a sentence."""
    if not path.is_dir():
        return "it is a file;" if path.exists() else "it does not exist;"
    if below:
        return f"name one of {', '.join(str(file.parent) for file in below)}, or"
    if run := enclosing_run(path):
        return f"it belongs to the run {run}, which --workdir and --resume go on with;"
    public = [p for kind in PUBLIC for p in sorted(path.glob(f"*{kind}"))]
    if public:
        return f"public ones such as {public[0].name} are to be imported first:"
    return f"{checkpoint_files.contents(path)};"


def _stored(folder: Path) -> tuple[Path, Record]:
    """Where the parameters lie, and their record."""
    folder = locate(folder)
    path, file = checkpoints.latest(folder), folder / RECORD
    if path is None:
        raise ValueError(
            f"{folder} holds the record of an import that was interrupted: import the "
            "weights again."
        )
    try:
        return path, Record(**json.loads(file.read_text("utf-8")))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{file} cannot be read ({error}): import the weights again."
        ) from error


def is_record(folder: Path) -> bool:
    """Whether `folder` holds a record that an import wrote."""
    try:
        Record(**json.loads((folder / RECORD).read_text("utf-8")))
    except (OSError, ValueError, TypeError):
        return False
    return True


def _changes(before: PolicyConfig, after: PolicyConfig) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(PolicyConfig)]
    return {
        name: getattr(after, name)
        for name in names
        if getattr(after, name) != getattr(before, name)
    }


def _without_noise(config: PolicyConfig) -> PolicyConfig:
    return dataclasses.replace(config, noise_head=False)


def _sizes(tree: PyTree) -> dict[str, Sequence[int]]:
    flat = flatten_dict(tree, sep="/")
    return {name: tuple(leaf.shape) for name, leaf in flat.items()}
