"""Names of VGGT-1B's aggregator: torch's axes, one array a layer, q, k, v fused.

Axes: V first view and others, R register tokens, P places, E width; i, o inputs and
outputs of a layer, h, w rows and columns of a patch.
"""

from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained.hugging_face import layer_norm, linear
from omnivla_jax.policy.pretrained.param_mapping import ParamMapping, ParamMappings

AGGREGATOR = "spatial/encoder/aggregator"
# Heads for cameras, depth, points, tracks; what stood for hidden patches in training.
IGNORED = (r"(camera|depth|point|track)_head\..*", r".*\.mask_token")


def aggregator(config: PolicyConfig) -> ParamMappings:
    """DINOv2 and the alternating blocks; none without a spatial expert."""
    if config.spatial_vision is None:
        return {}
    # Checkpoints know the alternating blocks as "rounds".
    depth, blocks = config.spatial_vision.depth, f"{AGGREGATOR}/rounds"
    special = ParamMapping(
        ("aggregator.camera_token", "aggregator.register_token"),
        "1 v r e -> v r e",
        pack="one v * e",
    )
    return (
        {f"{AGGREGATOR}/special_tokens": special}
        | dinov2(f"{AGGREGATOR}/dino", "aggregator.patch_embed", depth)
        | _normed_blocks(f"{blocks}/frame", "aggregator.frame_blocks", depth)
        | _normed_blocks(f"{blocks}/global", "aggregator.global_blocks", depth)
    )


def dinov2(ours: str, theirs: str, depth: int) -> ParamMappings:
    """DINOv2 with registers, called `ours` here and `theirs` in the file."""
    patches = f"{theirs}.patch_embed.proj"
    table = {
        "stem/conv_0/kernel": ParamMapping(
            (f"{patches}.weight",), "o i h w -> (h w i) o"
        ),
        "stem/conv_0/bias": ParamMapping((f"{patches}.bias",)),
        "pos_embedding": ParamMapping((f"{theirs}.pos_embed",), "1 p e -> p e"),
        "class_token": ParamMapping((f"{theirs}.cls_token",), "1 p e -> p e"),
        "register_tokens": ParamMapping((f"{theirs}.register_tokens",), "1 r e -> r e"),
    }
    return (
        {f"{ours}/{name}": mapping for name, mapping in table.items()}
        | _blocks(f"{ours}/blocks", f"{theirs}.blocks", depth)
        | layer_norm(f"{ours}/encoder_norm", f"{theirs}.norm")
    )


def _blocks(ours: str, theirs: str, depth: int) -> ParamMappings:
    layer = f"{theirs}.{{layer}}"
    gains = {"attention_gain": "ls1.gamma", "mlp_gain": "ls2.gamma"}
    return (
        linear(f"{ours}/qkv", f"{layer}.attn.qkv", depth)
        | linear(f"{ours}/out", f"{layer}.attn.proj", depth)
        | linear(f"{ours}/mlp_in", f"{layer}.mlp.fc1", depth)
        | linear(f"{ours}/mlp_out", f"{layer}.mlp.fc2", depth)
        | layer_norm(f"{ours}/ln_1", f"{layer}.norm1", depth)
        | layer_norm(f"{ours}/ln_2", f"{layer}.norm2", depth)
        | {
            f"{ours}/{gain}": ParamMapping((f"{layer}.{name}",), layers=depth)
            for gain, name in gains.items()
        }
    )


def _normed_blocks(ours: str, theirs: str, depth: int) -> ParamMappings:
    """Blocks that normalise queries and keys."""
    layer = f"{theirs}.{{layer}}.attn"
    return (
        _blocks(ours, theirs, depth)
        | layer_norm(f"{ours}/q_norm", f"{layer}.q_norm", depth)
        | layer_norm(f"{ours}/k_norm", f"{layer}.k_norm", depth)
    )
