"""The kinds of public weights that we read, by the names to ask for them."""

from functools import partial
from pathlib import Path
from typing import Callable, Mapping, Sequence

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained import (
    archives,
    big_vision,
    hugging_face,
    openpi,
    vggt,
)
from omnivla_jax.policy.pretrained.archives import Archive
from omnivla_jax.policy.pretrained.load import Source
from omnivla_jax.policy.pretrained.safetensors import safetensors

REASONING = ("reasoning/",)
REASONING_AND_ACTION = ("reasoning/", "action/")
SIGLIP = tuple(  # the reasoning expert's encoder but for the head behind it
    f"reasoning/encoder/{part}"
    for part in ("stem/", "pos_embedding", "blocks/", "encoder_norm/")
)


def _opener(
    reader: Callable[[Path], Archive], renaming: Sequence[tuple[str, str]]
) -> Callable[[Path], Archive]:
    def open_archive(path: Path) -> Archive:
        return archives.renamed(reader(path), renaming)

    return open_archive


def _as_it_is(config: PolicyConfig) -> PolicyConfig:
    return config


_open_stacked = partial(_opener, renaming=big_vision.RENAMING)

SOURCES: Mapping[str, Source] = {
    "paligemma-npz": Source(
        open=_open_stacked(archives.npz),
        recipes=big_vision.paligemma,
        covers=REASONING,
        unused=(),
        adapt=_as_it_is,
    ),
    "pi0": Source(
        open=_open_stacked(archives.orbax),
        recipes=openpi.pi0,
        covers=REASONING_AND_ACTION,
        unused=(),
        adapt=openpi.pi0_config,
    ),
    "pi05": Source(
        open=_open_stacked(archives.orbax),
        recipes=openpi.pi05,
        covers=REASONING_AND_ACTION,
        unused=(),
        adapt=openpi.pi05_config,
    ),
    "hf-paligemma": Source(
        open=_opener(safetensors, hugging_face.PALIGEMMA_RENAMING),
        recipes=hugging_face.paligemma,
        covers=REASONING,
        unused=hugging_face.PALIGEMMA_UNUSED,
        adapt=_as_it_is,
    ),
    "hf-siglip": Source(
        open=_opener(safetensors, hugging_face.SIGLIP_RENAMING),
        recipes=hugging_face.siglip,
        covers=SIGLIP,
        unused=hugging_face.SIGLIP_UNUSED,
        adapt=_as_it_is,
    ),
    "hf-vggt": Source(
        open=safetensors,
        recipes=vggt.aggregator,
        covers=(f"{vggt.AGGREGATOR}/",),
        unused=vggt.UNUSED,
        adapt=_as_it_is,
    ),
}


def source(name: str) -> Source:
    """The source called `name`; ValueError lists the known ones."""
    if name not in SOURCES:
        raise ValueError(f"No source {name!r}; choose one of {', '.join(SOURCES)}.")
    return SOURCES[name]
