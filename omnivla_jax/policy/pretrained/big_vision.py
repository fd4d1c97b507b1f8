"""Names of big_vision's PaliGemma, which openpi's trees share: layers are stacked.

Axes: L layers, E width, N heads, K key/value heads, C channels of a head, F hidden
width, P patches, V views; h, w, i, o rows, columns, inputs and outputs of a kernel.
"""

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.param_mapping import ParamMapping, ParamMappings

# A stray level of names: of the file, of openpi's model, of its nnx state.
RENAMING = ((r"^params/", ""), (r"^PaliGemma/", ""), (r"/value$", ""))


def paligemma(config: PolicyConfig) -> ParamMappings:
    """The whole reasoning expert: image encoder, words and decoder."""
    table = "reasoning/embedder/input_embedding"
    words = {
        table: ParamMapping(("llm/embedder/input_embedding",), num_rows=config.vocab)
    }
    return siglip(config) | words | decoder("reasoning", "") | norms("reasoning", "")


def decoder(expert: str, suffix: str) -> ParamMappings:
    """Attention and MLP of an expert; the names of openpi's second end in "_1"."""
    ours, theirs = f"{expert}/layers", "llm/layers"
    arrays = {
        f"{ours}/attn/{name}": f"{theirs}/attn/{name}{suffix}/w"
        for name in ("q_einsum", "kv_einsum", "attn_vec_einsum")
    } | {
        f"{ours}/mlp/{name}": f"{theirs}/mlp{suffix}/{name}"
        for name in ("gating_einsum", "linear")
    }
    return {name: ParamMapping((source,)) for name, source in arrays.items()}


def norms(expert: str, suffix: str, *, adaptive: bool = False) -> ParamMappings:
    """RMSNorms of an expert.

    With learned scales; `adaptive`: scale, shift and gate are linear in the flow time
    (pi0.5).
    """
    names = {f"{expert}/final_norm": f"llm/final_norm{suffix}"}
    for name in ("pre_attention_norm", "pre_ffw_norm"):
        names[f"{expert}/layers/{name}"] = f"llm/layers/{name}{suffix}"
    if adaptive:
        return {
            f"{ours}/modulation/{leaf}": ParamMapping((f"{theirs}/Dense_0/{leaf}",))
            for ours, theirs in names.items()
            for leaf in ("kernel", "bias")
        }
    return {
        f"{ours}/scale": ParamMapping((f"{theirs}/scale",))
        for ours, theirs in names.items()
    }


def siglip(config: PolicyConfig) -> ParamMappings:
    """The image encoder; its positions serve every view."""
    ours, theirs = "reasoning/encoder", "img/Transformer/encoderblock"
    heads = [
        f"{theirs}/MultiHeadDotProductAttention_0/{name}"
        for name in ("query", "key", "value")
    ]
    out = f"{theirs}/MultiHeadDotProductAttention_0/out"
    table = {
        "stem/conv_0/kernel": ParamMapping(
            ("img/embedding/kernel",), "h w i o -> (h w i) o"
        ),
        "stem/conv_0/bias": ParamMapping(("img/embedding/bias",)),
        "pos_embedding": ParamMapping(
            ("img/pos_embedding",), "1 p e -> v p e", {"v": config.views}
        ),
        "blocks/qkv/kernel": ParamMapping(
            tuple(f"{head}/kernel" for head in heads),
            "three l e n c -> l e (three n c)",
            {"n": config.vision.heads},
        ),
        "blocks/qkv/bias": ParamMapping(
            tuple(f"{head}/bias" for head in heads),
            "three l n c -> l (three n c)",
            {"n": config.vision.heads},
        ),
        "blocks/out/kernel": ParamMapping(
            (f"{out}/kernel",), "l n c e -> l (n c) e", {"n": config.vision.heads}
        ),
        "blocks/out/bias": ParamMapping((f"{out}/bias",)),
    }
    same_layout = {
        "blocks/ln_1/norm": (f"{theirs}/LayerNorm_0", ("scale", "bias")),
        "blocks/ln_2/norm": (f"{theirs}/LayerNorm_1", ("scale", "bias")),
        "blocks/mlp_in": (f"{theirs}/MlpBlock_0/Dense_0", ("kernel", "bias")),
        "blocks/mlp_out": (f"{theirs}/MlpBlock_0/Dense_1", ("kernel", "bias")),
        "encoder_norm/norm": ("img/Transformer/encoder_norm", ("scale", "bias")),
        "merge/head": ("img/head", ("kernel", "bias")),
    }
    for name, (source, leaves) in same_layout.items():
        table |= {
            f"{name}/{leaf}": ParamMapping((f"{source}/{leaf}",)) for leaf in leaves
        }
    return {f"{ours}/{name}": mapping for name, mapping in table.items()}
