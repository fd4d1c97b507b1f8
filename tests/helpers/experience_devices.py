"""What four devices exchange: `sharding_test.py` runs this apart.

Axes: B rows, split over the devices, T tokens, E width.
"""

import dataclasses
import math
import re
from typing import Iterator

import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import sharding
from omnivla_jax.core.types import PyTree
from omnivla_jax.models.encoders.vit import VitBlock
from omnivla_jax.train import rng
from omnivla_jax.train import sharding as train_sharding
from tests.helpers import many_devices
from tests.train.online.step_test import POLICY, SETTINGS, fresh

CONFIG = dataclasses.replace(SETTINGS, groups=4, group_size=4, chunks=2, minibatches=2)
COLLECTIVE = re.compile(
    r" = (.*) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)
BLOCK, ROWS, TOKENS, WIDTH = VitBlock(heads=2, mlp_dim=24), 20, 5, 16


def collectives(compiled: jax.stages.Compiled) -> list[tuple[str, str]]:
    """(opcode, shape) of every collective of a program."""
    text = compiled.as_text() or ""
    return [(match[2], match[1]) for match in COLLECTIVE.finditer(text)]


def sizes(shapes: str) -> Iterator[int]:
    """Numbers in each array of a shape such as "(f32[], f32[8,2]{1,0})"."""
    for axes in re.findall(r"\[([\d,]*)\]", shapes):
        yield math.prod(int(axis) for axis in axes.split(",") if axis)


def check_online_step() -> None:
    """An online step sums gradients and metrics, and exchanges nothing else."""
    mesh = sharding.make_mesh(data=4)
    state, key = fresh(CONFIG), rng.named_key(0, "online")
    step = many_devices.make_step(mesh, CONFIG)
    placed = [train_sharding.shard(tree, mesh, POLICY) for tree in (state, key)]
    found = collectives(step.lower(*placed).compile())
    assert found, "the gradients are summed"
    others = [collective for collective in found if collective[0] != "all-reduce"]
    assert not others, others


def check_split_parameters() -> None:
    """Where weights are split too, they and their gradients are all that moves.

    Of a batch that nothing else splits.
    """
    mesh = sharding.make_mesh(fsdp=4)
    tokens = jax.ShapeDtypeStruct((ROWS, TOKENS, WIDTH), jnp.float32)
    boxed = jax.eval_shape(BLOCK.init, jax.random.key(0), tokens)
    params = jax.tree.map(
        lambda leaf, place: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=place
        ),
        nn.unbox(boxed),
        sharding.tree_shardings(mesh, boxed),
    )

    def gradient(params: PyTree, tokens: jax.Array) -> PyTree:
        return jax.grad(lambda p: jnp.mean(BLOCK.apply(p, tokens) ** 2))(params)

    on_mesh = train_sharding.on_mesh(mesh, POLICY)
    compiled = jax.jit(on_mesh.with_mesh(gradient)).lower(params, tokens).compile()
    exchanged = {size for _, shapes in collectives(compiled) for size in sizes(shapes)}
    weights = {leaf.size for leaf in jax.tree.leaves(params)}
    assert exchanged and exchanged <= weights, (exchanged, weights)


if __name__ == "__main__":
    check_split_parameters()
    check_online_step()
