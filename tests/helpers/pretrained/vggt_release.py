"""Names and shapes of VGGT-1B's aggregator, or of a smaller one built alike."""

from typing import TypeAlias

Shapes: TypeAlias = dict[str, tuple[int, ...]]


def published(
    width: int, depth: int, patch: int, grid: int, registers: int, *, heads: int = 16
) -> Shapes:
    """name -> shape, written out from the release's modules."""
    top, dino = "aggregator", "aggregator.patch_embed"
    table = {
        f"{top}.camera_token": (1, 2, 1, width),
        f"{top}.register_token": (1, 2, registers, width),
        f"{dino}.cls_token": (1, 1, width),
        f"{dino}.pos_embed": (1, 1 + grid**2, width),
        f"{dino}.register_tokens": (1, registers, width),
        f"{dino}.mask_token": (1, width),
        f"{dino}.patch_embed.proj.weight": (width, 3, patch, patch),
        f"{dino}.patch_embed.proj.bias": (width,),
        f"{dino}.norm.weight": (width,),
        f"{dino}.norm.bias": (width,),
        "camera_head.token_norm.weight": (2 * width,),
    }
    stacks = (f"{dino}.blocks", f"{top}.frame_blocks", f"{top}.global_blocks")
    for stack in stacks:
        for layer in range(depth):
            normed = 0 if stack == stacks[0] else width // heads
            table |= block(f"{stack}.{layer}", width, normed=normed)
    return table


def block(name: str, width: int, *, normed: int) -> Shapes:
    """A transformer block; `normed`: channels of a head, 0 where none are normed."""
    linears = {"attn.qkv": (3, 1), "attn.proj": (1, 1), "mlp.fc1": (4, 1)}
    linears["mlp.fc2"] = (1, 4)
    table: Shapes = {f"{name}.{gain}.gamma": (width,) for gain in ("ls1", "ls2")}
    for part, (outputs, inputs) in linears.items():
        table[f"{name}.{part}.weight"] = (outputs * width, inputs * width)
        table[f"{name}.{part}.bias"] = (outputs * width,)
    norms = {"norm1": width, "norm2": width}
    if normed:
        norms |= {"attn.q_norm": normed, "attn.k_norm": normed}
    for part, size in norms.items():
        table |= {f"{name}.{part}.{leaf}": (size,) for leaf in ("weight", "bias")}
    return table
