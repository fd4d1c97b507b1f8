"""The full policy against the names and shapes of the published PaliGemma and pi0."""

import numpy as np
import pytest
from flax import traverse_util

from omnivla_jax.policy import config as configs
from omnivla_jax.policy import parameters
from omnivla_jax.policy.pretrained.formats import get_format
from omnivla_jax.policy.pretrained.load import find_mismatches
from omnivla_jax.policy.pretrained.readers import ArrayReader

BLOCK = "img/Transformer/encoderblock"
ATTENTION = f"{BLOCK}/MultiHeadDotProductAttention_0"

# Of pt_224.npz: SigLIP So400m/14 and gemma_2b, layers stacked.
SIGLIP = {
    "img/embedding/kernel": (14, 14, 3, 1152),
    "img/embedding/bias": (1152,),
    "img/pos_embedding": (1, 256, 1152),
    f"{ATTENTION}/out/kernel": (27, 16, 72, 1152),
    f"{ATTENTION}/out/bias": (27, 1152),
    f"{BLOCK}/MlpBlock_0/Dense_0/kernel": (27, 1152, 4304),
    f"{BLOCK}/MlpBlock_0/Dense_0/bias": (27, 4304),
    f"{BLOCK}/MlpBlock_0/Dense_1/kernel": (27, 4304, 1152),
    f"{BLOCK}/MlpBlock_0/Dense_1/bias": (27, 1152),
    "img/Transformer/encoder_norm/scale": (1152,),
    "img/Transformer/encoder_norm/bias": (1152,),
    "img/head/kernel": (1152, 2048),
    "img/head/bias": (2048,),
}
for _name in ("query", "key", "value"):
    SIGLIP[f"{ATTENTION}/{_name}/kernel"] = (27, 1152, 16, 72)
    SIGLIP[f"{ATTENTION}/{_name}/bias"] = (27, 16, 72)
for _name in ("LayerNorm_0", "LayerNorm_1"):
    SIGLIP |= {f"{BLOCK}/{_name}/{leaf}": (27, 1152) for leaf in ("scale", "bias")}


def gemma(suffix: str, width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """Attention and MLP of eighteen layers."""
    return {
        f"llm/layers/attn/q_einsum{suffix}/w": (18, 8, width, 256),
        f"llm/layers/attn/kv_einsum{suffix}/w": (18, 2, 1, width, 256),
        f"llm/layers/attn/attn_vec_einsum{suffix}/w": (18, 8, 256, width),
        f"llm/layers/mlp{suffix}/gating_einsum": (18, 2, width, hidden),
        f"llm/layers/mlp{suffix}/linear": (18, hidden, width),
    }


def norms(suffix: str, leaves: dict[str, tuple[int, ...]]) -> dict[str, tuple]:
    """Two a layer and the last one; `leaves` of a single norm."""
    stacked = ("layers/pre_attention_norm", "layers/pre_ffw_norm")
    table = {f"llm/final_norm{suffix}/{leaf}": shape for leaf, shape in leaves.items()}
    for name in stacked:
        for leaf, shape in leaves.items():
            table[f"llm/{name}{suffix}/{leaf}"] = (18, *shape)
    return table


def dense(**sizes: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Kernels (inputs, outputs) and biases."""
    kernels = {f"{name}/kernel": shape for name, shape in sizes.items()}
    return kernels | {f"{name}/bias": shape[1:] for name, shape in sizes.items()}


PALIGEMMA = (
    SIGLIP
    | {"llm/embedder/input_embedding": (257_152, 2048)}
    | gemma("", 2048, 16_384)
    | norms("", {"scale": (2048,)})
)
ENDS = {"action_in_proj": (32, 1024), "action_out_proj": (1024, 32)}
PI0 = (
    PALIGEMMA
    | gemma("_1", 1024, 4096)
    | norms("_1", {"scale": (1024,)})
    | dense(
        state_proj=(32, 1024),
        action_time_mlp_in=(2048, 1024),
        action_time_mlp_out=(1024, 1024),
        **ENDS,
    )
)
MODULATION = {"Dense_0/kernel": (1024, 3072), "Dense_0/bias": (3072,)}
PI05 = (
    PALIGEMMA
    | gemma("_1", 1024, 4096)
    | norms("_1", MODULATION)
    | dense(time_mlp_in=(1024, 1024), time_mlp_out=(1024, 1024), **ENDS)
)


@pytest.mark.parametrize(
    "name, shapes", [("paligemma-npz", PALIGEMMA), ("pi0", PI0), ("pi05", PI05)]
)
def test_the_full_policy_takes_every_array(name, shapes):
    kind = get_format(name)
    config = kind.update_config(configs.preset("full"))
    like = traverse_util.flatten_dict(parameters.shapes(config), sep="/")
    reader = ArrayReader(shapes, read=lambda name: np.zeros(shapes[name]))
    assert not find_mismatches(reader, kind.mappings(config), like, kind)


def test_paligemma_has_its_published_size():
    sizes = {name: np.prod(shape) for name, shape in PALIGEMMA.items()}
    assert round(sum(sizes.values()) / 1e9, 2) == 2.92
    vision = sum(size for name, size in sizes.items() if name.startswith("img/"))
    assert round(vision / 1e9, 2) == 0.41
