"""Names of Hugging Face's SigLIP and PaliGemma: torch's axes, one array a layer.

Axes: E width, N heads, K key/value heads, C channels of a head, F hidden width, P
patches, V views; i, o inputs and outputs of a layer, h, w rows and columns of a patch.
"""

import re

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.param_mapping import (
    IDENTITY,
    ParamMapping,
    ParamMappings,
)
from omnivla_jax.policy.pretrained.readers import ArrayReader

LINEAR = "o i -> i o"
NAMES = {"weight": "kernel", "bias": "bias"}  # torch's and ours, of a linear layer
NORM_NAMES = {"weight": "scale", "bias": "bias"}

# transformers has moved these levels from release to release.
SIGLIP_RENAMING = ((r"^vision_model\.", ""),)
PALIGEMMA_RENAMING = (
    (r"^model\.", ""),
    (r"^language_model\.model\.", "language_model."),
    (r"^vision_tower\.vision_model\.", "vision_tower."),
)
# The text tower, the pooling head, a temperature; and tables that are computed.
SIGLIP_IGNORED = (r"text_model\..*", r"head\..*", r"logit_.*", r".*position_ids")
WORDS = "language_model.embed_tokens.weight"
# The output layer is the word table once more: a file holds either of them, or both.
OUTPUT_LAYERS = ("lm_head.weight", "language_model.lm_head.weight")
PALIGEMMA_IGNORED = (*map(re.escape, OUTPUT_LAYERS), r".*(position_ids|inv_freq)")


def paligemma(config: PolicyConfig) -> ParamMappings:
    """The whole reasoning expert: image encoder, words and decoder."""
    words = ParamMapping((WORDS,), num_rows=config.vocab)
    head = linear("reasoning/encoder/merge/head", "multi_modal_projector.linear")
    return (
        siglip(config, prefix="vision_tower.")
        | head
        | {"reasoning/embedder/input_embedding": words}
        | decoder("reasoning", config, "language_model")
    )


def with_word_table(reader: ArrayReader) -> ArrayReader:
    """The same arrays; the output layer is the word table where that is missing."""
    layers = [name for name in OUTPUT_LAYERS if name in reader.shapes]
    if WORDS in reader.shapes or not layers:
        return reader
    shapes = {WORDS if n == layers[0] else n: s for n, s in reader.shapes.items()}
    return ArrayReader(
        shapes, lambda name: reader.read(layers[0] if name == WORDS else name)
    )


def siglip(config: PolicyConfig, prefix: str = "") -> ParamMappings:
    """The image encoder without its head; its positions serve every view."""
    ours, depth = "reasoning/encoder", config.vision.depth
    embeddings, layer = f"{prefix}embeddings", f"{prefix}encoder.layers.{{layer}}"
    heads = [f"{layer}.self_attn.{name}_proj" for name in "qkv"]
    table = {
        f"{ours}/stem/conv_0/kernel": ParamMapping(
            (f"{embeddings}.patch_embedding.weight",), "o i h w -> (h w i) o"
        ),
        f"{ours}/stem/conv_0/bias": ParamMapping(
            (f"{embeddings}.patch_embedding.bias",)
        ),
        f"{ours}/pos_embedding": ParamMapping(
            (f"{embeddings}.position_embedding.weight",),
            "p e -> v p e",
            {"v": config.views},
        ),
        f"{ours}/blocks/qkv/kernel": ParamMapping(
            tuple(f"{head}.weight" for head in heads),
            "three o i -> i (three o)",
            layers=depth,
        ),
        f"{ours}/blocks/qkv/bias": ParamMapping(
            tuple(f"{head}.bias" for head in heads),
            "three o -> (three o)",
            layers=depth,
        ),
    }
    return (
        table
        | linear(f"{ours}/blocks/out", f"{layer}.self_attn.out_proj", depth)
        | linear(f"{ours}/blocks/mlp_in", f"{layer}.mlp.fc1", depth)
        | linear(f"{ours}/blocks/mlp_out", f"{layer}.mlp.fc2", depth)
        | layer_norm(f"{ours}/blocks/ln_1", f"{layer}.layer_norm1", depth)
        | layer_norm(f"{ours}/blocks/ln_2", f"{layer}.layer_norm2", depth)
        | layer_norm(f"{ours}/encoder_norm", f"{prefix}post_layernorm")
    )


def linear(ours: str, theirs: str, layers: int | None = None) -> ParamMappings:
    """A dense layer with bias."""
    patterns = {"weight": LINEAR, "bias": IDENTITY}
    return {
        f"{ours}/{NAMES[leaf]}": ParamMapping(
            (f"{theirs}.{leaf}",), pattern, layers=layers
        )
        for leaf, pattern in patterns.items()
    }


def layer_norm(ours: str, theirs: str, layers: int | None = None) -> ParamMappings:
    """Scale and bias of our `LayerNorm`."""
    return {
        f"{ours}/norm/{name}": ParamMapping((f"{theirs}.{leaf}",), layers=layers)
        for leaf, name in NORM_NAMES.items()
    }


def decoder(
    expert: str, config: PolicyConfig, prefix: str, *, adaptive: bool = False
) -> ParamMappings:
    """Layers and norms of an expert.

    Args:
      expert: its name.
      config: the policy's sizes.
      prefix: of their names.
      adaptive: its norms are linear in the flow time (pi0.5).
    """
    sizes, layer = config.mot.experts[expert], f"{prefix}.layers.{{layer}}"
    heads, kv_heads = {"n": sizes.heads}, {"k": sizes.kv_heads}
    attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
    rows = {
        "attn/q_einsum": ((f"{attention}.q_proj",), "(n c) e -> n e c", heads),
        "attn/kv_einsum": (
            (f"{attention}.k_proj", f"{attention}.v_proj"),
            "two (k c) e -> two k e c",
            kv_heads,
        ),
        "attn/attn_vec_einsum": ((f"{attention}.o_proj",), "e (n c) -> n c e", heads),
        "mlp/gating_einsum": (
            (f"{mlp}.gate_proj", f"{mlp}.up_proj"),
            "two f e -> two e f",
            {},
        ),
        "mlp/linear": ((f"{mlp}.down_proj",), "e f -> f e", {}),
    }
    table = {
        f"{expert}/layers/{ours}": ParamMapping(
            tuple(f"{name}.weight" for name in names), pattern, axes, sizes.depth
        )
        for ours, (names, pattern, axes) in rows.items()
    }
    norms = {
        "layers/pre_attention_norm": (f"{layer}.input_layernorm", sizes.depth),
        "layers/pre_ffw_norm": (f"{layer}.post_attention_layernorm", sizes.depth),
        "final_norm": (f"{prefix}.norm", None),
    }
    for ours, (theirs, layers) in norms.items():
        if adaptive:
            table |= linear(f"{expert}/{ours}/modulation", f"{theirs}.dense", layers)
        else:
            scale = ParamMapping((f"{theirs}.weight",), layers=layers)
            table[f"{expert}/{ours}/scale"] = scale
    return table
