"""The formats of public weights that can be read, by name."""

from pathlib import Path
from typing import Mapping

from omnivla_jax.policy.pretrained import (
    big_vision,
    hugging_face,
    openpi,
    openpi_lora,
    openpi_torch,
    vggt,
)
from omnivla_jax.policy.pretrained.load import WeightsFormat
from omnivla_jax.policy.pretrained.readers import (
    ArrayReader,
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


def _open_openpi(path: Path) -> ArrayReader:
    return openpi_lora.merge(rename_arrays(read_orbax(path), big_vision.RENAMING))


def _open_openpi_torch(path: Path) -> ArrayReader:
    renamed = rename_arrays(read_safetensors(path), openpi_torch.RENAMING)
    return hugging_face.with_word_table(renamed)


FORMATS: Mapping[str, WeightsFormat] = {
    "paligemma-npz": WeightsFormat(
        open=lambda path: rename_arrays(read_npz(path), big_vision.RENAMING),
        mappings=big_vision.paligemma,
        required_prefixes=REASONING,
        ignored_names=(),
    ),
    "pi0": WeightsFormat(
        open=_open_openpi,
        mappings=openpi.pi0,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=(),
        update_config=openpi.pi0_config,
    ),
    "pi05": WeightsFormat(
        open=_open_openpi,
        mappings=openpi.pi05,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=(),
        update_config=openpi.pi05_config,
    ),
    "pi0-torch": WeightsFormat(
        open=_open_openpi_torch,
        mappings=openpi_torch.pi0,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=openpi_torch.IGNORED,
        update_config=openpi.pi0_config,
    ),
    "pi05-torch": WeightsFormat(
        open=_open_openpi_torch,
        mappings=openpi_torch.pi05,
        required_prefixes=REASONING_AND_ACTION,
        ignored_names=openpi_torch.IGNORED,
        update_config=openpi.pi05_config,
    ),
    "hf-paligemma": WeightsFormat(
        open=lambda path: hugging_face.with_word_table(
            rename_arrays(read_safetensors(path), hugging_face.PALIGEMMA_RENAMING)
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
