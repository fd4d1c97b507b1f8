"""Which primitives may a tile of rays meet: boxes around them against its frustum.

Axes: n primitives, T tiles, K kinds.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from omnivla_jax.render.arithmetic import FAR
from omnivla_jax.render.rays import Rays
from omnivla_jax.render.types import KINDS


class WorkList(NamedTuple):
    """For every tile, the primitives to try, those of a kind together."""

    order: jax.Array  # int32 [T, n]: first the visible primitives, by index
    first: dict[str, jax.Array]  # int32 [T]: where a kind begins in `order`
    last: dict[str, jax.Array]  # and ends


def half_sides(kind: str, size: jax.Array) -> jax.Array:
    """[n, 3]: of the box around primitives of `kind`, in their frames."""
    a, b, c = size.T
    if kind == "plane":
        return jnp.full_like(size, FAR)  # a plane bounds nothing
    if kind == "capsule":
        return jnp.stack([a, a, a + b], axis=1)
    if kind == "cylinder":
        return jnp.stack([a, a, b], axis=1)
    if kind in ("cone", "cup"):
        widest = jnp.maximum(a, b)
        return jnp.stack([widest, widest, c], axis=1)
    return size


def visible(
    rays: Rays, position: jax.Array, rotation: jax.Array, half: jax.Array
) -> jax.Array:
    """bool [T, n]: not surely outside a tile's frustum, by its four sides and ends."""
    inverse = (rays.basis / (rays.basis**2).sum(0)).T
    centre = (position - rays.origin) @ inverse.T  # [n, 3]
    edges = jnp.einsum("ij,nja->nia", inverse, rotation) * half[:, None]  # [n, 3, 3]
    ahead, depth = -centre[:, 2], jnp.abs(edges[:, 2]).sum(-1)
    seen = (ahead + depth > 0) & (ahead - depth < rays.reach[:, None])
    for axis in range(2):
        for bound, sign in ((rays.high[axis], 1.0), (rays.low[axis], -1.0)):
            slope = bound[:, None, None]
            spread = jnp.abs(edges[:, axis] + slope * edges[:, 2]).sum(-1)
            middle = sign * (centre[:, axis] + slope[..., 0] * centre[:, 2])
            seen &= middle <= spread
    return seen


def work_list(seen: jax.Array, spans: dict[str, tuple[int, int]]) -> WorkList:
    """Sort the visible primitives [T, n] to the front, in the order of KINDS."""
    count = seen.shape[1]
    index = jnp.arange(count, dtype=jnp.int32)
    order = jnp.sort(jnp.where(seen, index, count), axis=1)
    first, last = {}, {}
    for kind in KINDS:
        if kind in spans and spans[kind][1] > spans[kind][0]:
            begin, end = spans[kind]
            first[kind] = seen[:, :begin].sum(1, dtype=jnp.int32)
            last[kind] = seen[:, :end].sum(1, dtype=jnp.int32)
    return WorkList(jnp.minimum(order, count - 1), first, last)
