"""The formats of public weights that can be read, by name."""

from typing import Mapping

from omnivla_jax.policy.pretrained import big_vision, hugging_face, openpi, vggt
from omnivla_jax.policy.pretrained.load import WeightsFormat
from omnivla_jax.policy.pretrained.readers import (
    read_npz,
    read_orbax,
    rename_arrays,
)
from omnivla_jax.policy.pretrained.safetensors_reader import read_safetensors

REASONING = ("reasoning/",)
REASONING_AND_ACTION = ("reasoning/", "action/")
SIGLIP = tuple(  # the reasoning expert's encoder without the head behind it
    f"reasoning/encoder/{part}"
    for part in ("stem/", "pos_embedding", "blocks/", "encoder_norm/")
)


FORMATS: Mapping[str, WeightsFormat] = {
    "paligemma-npz": WeightsFormat(
        open=lambda path: rename_arrays(read_npz(path), big_vision.RENAMING),
        mappings=big_vision.paligemma,
        required_prefixes=REASONING,
        ignored_names=(),
    ),
    "pi0": WeightsFormat(
        open=lambda path: rename_arrays(read_orbax(path), big_vision.RENAMING),
        mappings=openpi.pi0,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=(),
        update_config=openpi.pi0_config,
    ),
    "pi05": WeightsFormat(
        open=lambda path: rename_arrays(read_orbax(path), big_vision.RENAMING),
        mappings=openpi.pi05,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=(),
        update_config=openpi.pi05_config,
    ),
    "hf-paligemma": WeightsFormat(
        open=lambda path: rename_arrays(
            read_safetensors(path), hugging_face.PALIGEMMA_RENAMING
        ),
        mappings=hugging_face.paligemma,
        required_prefixes=REASONING,
        ignored_names=hugging_face.PALIGEMMA_IGNORED,
    ),
    "hf-siglip": WeightsFormat(
        open=lambda path: rename_arrays(
            read_safetensors(path), hugging_face.SIGLIP_RENAMING
        ),
        mappings=hugging_face.siglip,
        required_prefixes=SIGLIP,
        ignored_names=hugging_face.SIGLIP_IGNORED,
    ),
    "hf-vggt": WeightsFormat(
        open=read_safetensors,
        mappings=vggt.aggregator,
        required_prefixes=(f"{vggt.AGGREGATOR}/",),
        ignored_names=vggt.IGNORED,
    ),
}


def get_format(name: str) -> WeightsFormat:
    """The format called `name`; raises ValueError with the known ones."""
    if name not in FORMATS:
        raise ValueError(f"No format {name!r}; choose one of {', '.join(FORMATS)}.")
    return FORMATS[name]
