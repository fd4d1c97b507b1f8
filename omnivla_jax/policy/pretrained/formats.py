"""The formats of public weights that can be read, by name."""

from functools import partial
from pathlib import Path
from typing import Callable, Mapping, Sequence

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained import (
    big_vision,
    hugging_face,
    openpi,
    readers,
    vggt,
)
from omnivla_jax.policy.pretrained.load import WeightsFormat
from omnivla_jax.policy.pretrained.readers import ArrayReader
from omnivla_jax.policy.pretrained.safetensors_reader import read_safetensors

REASONING = ("reasoning/",)
REASONING_AND_ACTION = ("reasoning/", "action/")
SIGLIP = tuple(  # the reasoning expert's encoder without the head behind it
    f"reasoning/encoder/{part}"
    for part in ("stem/", "pos_embedding", "blocks/", "encoder_norm/")
)


def _open_renamed(
    path: Path,
    *,
    read: Callable[[Path], ArrayReader],
    rules: Sequence[tuple[str, str]] = big_vision.RENAMING,
) -> ArrayReader:
    return readers.rename_arrays(read(path), rules)


def _same_config(config: PolicyConfig) -> PolicyConfig:
    return config


FORMATS: Mapping[str, WeightsFormat] = {
    "paligemma-npz": WeightsFormat(
        open=partial(_open_renamed, read=readers.read_npz),
        mappings=big_vision.paligemma,
        required_prefixes=REASONING,
        ignored_names=(),
        update_config=_same_config,
    ),
    "pi0": WeightsFormat(
        open=partial(_open_renamed, read=readers.read_orbax),
        mappings=openpi.pi0,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=(),
        update_config=openpi.pi0_config,
    ),
    "pi05": WeightsFormat(
        open=partial(_open_renamed, read=readers.read_orbax),
        mappings=openpi.pi05,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=(),
        update_config=openpi.pi05_config,
    ),
    "hf-paligemma": WeightsFormat(
        open=partial(
            _open_renamed,
            read=read_safetensors,
            rules=hugging_face.PALIGEMMA_RENAMING,
        ),
        mappings=hugging_face.paligemma,
        required_prefixes=REASONING,
        ignored_names=hugging_face.PALIGEMMA_IGNORED,
        update_config=_same_config,
    ),
    "hf-siglip": WeightsFormat(
        open=partial(
            _open_renamed, read=read_safetensors, rules=hugging_face.SIGLIP_RENAMING
        ),
        mappings=hugging_face.siglip,
        required_prefixes=SIGLIP,
        ignored_names=hugging_face.SIGLIP_IGNORED,
        update_config=_same_config,
    ),
    "hf-vggt": WeightsFormat(
        open=read_safetensors,
        mappings=vggt.aggregator,
        required_prefixes=(f"{vggt.AGGREGATOR}/",),
        ignored_names=vggt.IGNORED,
        update_config=_same_config,
    ),
}


def get_format(name: str) -> WeightsFormat:
    """The format called `name`; raises ValueError with the known ones."""
    if name not in FORMATS:
        raise ValueError(f"No format {name!r}; choose one of {', '.join(FORMATS)}.")
    return FORMATS[name]
