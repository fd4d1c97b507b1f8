"""The full policy against the names and shapes of pi0 and pi0.5 in PyTorch."""

import numpy as np
import pytest
from flax import traverse_util

from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters
from omnivla_jax.policy.pretrained import formats, hugging_face, openpi_torch
from omnivla_jax.policy.pretrained.load import find_mismatches
from omnivla_jax.policy.pretrained.readers import ArrayReader, rename_arrays

MODEL = "paligemma_with_expert"
VISION = f"{MODEL}.paligemma.model.vision_tower.vision_model"
OUTPUT_LAYER = f"{MODEL}.paligemma.lm_head.weight"
WORDS = f"{MODEL}.paligemma.model.language_model.embed_tokens.weight"
Shapes = dict[str, tuple[int, ...]]


def linear(name: str, outputs: int, inputs: int) -> Shapes:
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def siglip() -> Shapes:
    table = norm(f"{VISION}.post_layernorm", 1152) | {
        f"{VISION}.embeddings.patch_embedding.weight": (1152, 3, 14, 14),
        f"{VISION}.embeddings.patch_embedding.bias": (1152,),
        f"{VISION}.embeddings.position_embedding.weight": (256, 1152),
    }
    for number in range(27):
        layer = f"{VISION}.encoder.layers.{number}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            table |= linear(f"{layer}.self_attn.{name}", 1152, 1152)
        table |= linear(f"{layer}.mlp.fc1", 4304, 1152)
        table |= linear(f"{layer}.mlp.fc2", 1152, 4304)
        table |= norm(f"{layer}.layer_norm1", 1152) | norm(f"{layer}.layer_norm2", 1152)
    return table


def gemma(name: str, width: int, hidden: int, adaptive: bool) -> Shapes:
    def rms(theirs: str) -> Shapes:
        if adaptive:
            return linear(f"{theirs}.dense", 3 * width, width)
        return {f"{theirs}.weight": (width,)}

    table = rms(f"{name}.norm")
    for number in range(18):
        layer = f"{name}.layers.{number}"
        table |= rms(f"{layer}.input_layernorm")
        table |= rms(f"{layer}.post_attention_layernorm")
        table |= {
            f"{layer}.self_attn.q_proj.weight": (2048, width),
            f"{layer}.self_attn.k_proj.weight": (256, width),
            f"{layer}.self_attn.v_proj.weight": (256, width),
            f"{layer}.self_attn.o_proj.weight": (width, 2048),
            f"{layer}.mlp.gate_proj.weight": (hidden, width),
            f"{layer}.mlp.up_proj.weight": (hidden, width),
            f"{layer}.mlp.down_proj.weight": (width, hidden),
        }
    return table


def published(adaptive: bool) -> Shapes:
    """Names in a file: of two tied tables one is stored."""
    table = siglip() | {OUTPUT_LAYER: (257_152, 2048)}
    table |= linear(f"{MODEL}.paligemma.model.multi_modal_projector.linear", 2048, 1152)
    table |= gemma(f"{MODEL}.paligemma.model.language_model", 2048, 16_384, False)
    table |= gemma(f"{MODEL}.gemma_expert.model", 1024, 4096, adaptive)
    table |= {f"{MODEL}.gemma_expert.lm_head.weight": (257_152, 1024)}
    table |= linear("action_in_proj", 1024, 32) | linear("action_out_proj", 32, 1024)
    if adaptive:
        return (
            table
            | linear("time_mlp_in", 1024, 1024)
            | linear("time_mlp_out", 1024, 1024)
        )
    table |= linear("state_proj", 1024, 32)
    table |= linear("action_time_mlp_in", 1024, 2048)
    return table | linear("action_time_mlp_out", 1024, 1024)


def renamed(shapes: Shapes) -> ArrayReader:
    reader = ArrayReader(shapes, read=lambda name: np.zeros(shapes[name]))
    found = rename_arrays(reader, openpi_torch.RENAMING)
    return hugging_face.with_word_table(found)


@pytest.fixture(scope="module", params=["pi0-torch", "pi05-torch"])
def kind(request):
    """A format, and the shapes of the full policy in it."""
    found = formats.get_format(request.param)
    config = found.update_config(configs.preset("full"))
    like = traverse_util.flatten_dict(parameters.shapes(config), sep="/")
    return request.param, found, found.mappings(config), like


def stored_as(shapes: Shapes, change: str) -> Shapes:
    """The names of another program that stores the same model."""
    if change == "lerobot":
        return {f"model.{name}": shape for name, shape in shapes.items()}
    if change == "word table":
        return {WORDS if n == OUTPUT_LAYER else n: s for n, s in shapes.items()}
    if change == "both tables":
        return shapes | {WORDS: shapes[OUTPUT_LAYER]}
    if change == "early lerobot":
        found = {
            f"model.{name}".replace(
                "paligemma.model.language_model", "paligemma.language_model.model"
            ).replace("paligemma.model.", "paligemma."): shape
            for name, shape in shapes.items()
        }
        statistics = "normalize_inputs.buffer_observation_state.mean"
        return found | {statistics: (8,)}
    return shapes


@pytest.mark.parametrize(
    "change", ["converter", "lerobot", "word table", "both tables", "early lerobot"]
)
def test_the_full_policy_takes_every_array(kind, change):
    name, weights_format, mappings, like = kind
    shapes = published(adaptive=name == "pi05-torch")
    assert len(shapes) == {"pi0-torch": 777, "pi05-torch": 812}[name]
    reader = renamed(stored_as(shapes, change))
    assert not find_mismatches(reader, mappings, like, weights_format)


def test_the_other_model_is_told_apart(kind):
    name, weights_format, mappings, like = kind
    reader = renamed(published(adaptive=name == "pi0-torch"))
    kinds = {k for k, _ in find_mismatches(reader, mappings, like, weights_format)}
    assert kinds == {"missing name", "surplus name"}


def test_a_missing_word_table_is_missing(kind):
    name, weights_format, mappings, like = kind
    shapes = published(adaptive=name == "pi05-torch")
    del shapes[OUTPUT_LAYER]
    found = find_mismatches(renamed(shapes), mappings, like, weights_format)
    assert found == [("missing name", hugging_face.WORDS)]
