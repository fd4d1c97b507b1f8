"""Culls primitives: bounding boxes against the frustum of each tile of rays.

Axes: n primitives, T tiles, K kinds.
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.render.arithmetic import FAR
from omnivla_jax.render.rays import Rays
from omnivla_jax.render.types import KINDS, KindRanges


class VisiblePrimitives(NamedTuple):
    """The primitives that each tile tries, those of a kind together."""

    order: jax.Array  # int32 [T, n]: first the visible primitives, by index
    first: dict[str, jax.Array]  # int32 [T]: where a kind begins in `order`
    last: dict[str, jax.Array]  # int32 [T]: past its end


def bounding_half_sizes(kind: str, size: jax.Array) -> jax.Array:
    """Half sides of bounding boxes in the primitives' frames.

    Args:
      kind: one of KINDS, the same for all.
      size: float32 [n, 3], m.

    Returns:
      float32 [n, 3], m; FAR for planes, which nothing bounds.
    """
    a, b, c = size.T
    match kind:
        case "plane":
            return jnp.full_like(size, FAR)
        case "capsule":
            return jnp.stack([a, a, a + b], axis=1)
        case "cylinder":
            return jnp.stack([a, a, b], axis=1)
        case "cone" | "cup":
            widest = jnp.maximum(a, b)
            return jnp.stack([widest, widest, c], axis=1)
    return size


def visibility_mask(
    rays: Rays, position: jax.Array, rotation: jax.Array, half: jax.Array
) -> jax.Array:
    """Test bounding boxes against the four sides and two ends of each tile's frustum.

    Args:
      rays: T tiles.
      position: float32 [n, 3], of the boxes' centres, world frame, m.
      rotation: float32 [n, 3, 3].
      half: float32 [n, 3], half sides, m.

    Returns:
      bool [T, n]; False only where the box surely lies outside.
    """
    chex.assert_equal_shape([position, half])
    inverse = (rays.basis / (rays.basis**2).sum(0)).T
    centre = (position - rays.origin) @ inverse.T  # [n, 3]
    edges = jnp.einsum("ij,nja->nia", inverse, rotation) * half[:, None]  # [n, 3, 3]
    ahead, depth = -centre[:, 2], jnp.abs(edges[:, 2]).sum(-1)
    visible = (ahead + depth > 0) & (ahead - depth < rays.max_depth[:, None])
    for axis in range(2):
        for bound, sign in ((rays.high[axis], 1.0), (rays.low[axis], -1.0)):
            slope = bound[:, None, None]
            spread = jnp.abs(edges[:, axis] + slope * edges[:, 2]).sum(-1)
            middle = sign * (centre[:, axis] + slope[..., 0] * centre[:, 2])
            visible &= middle <= spread
    return visible


def visible_primitives(mask: jax.Array, ranges: KindRanges) -> VisiblePrimitives:
    """Sort the visible primitives to the front, in the order of KINDS.

    Args:
      mask: bool [T, n], see `visibility_mask`.
      ranges: where each kind lies among the n primitives.

    Returns:
      Each tile's primitives, the visible ones first, and where each kind's begin and
        end among them.
    """
    count = mask.shape[1]
    index = jnp.arange(count, dtype=jnp.int32)
    order = jnp.sort(jnp.where(mask, index, count), axis=1)
    first, last = {}, {}
    for kind in KINDS:
        if kind in ranges and ranges[kind][1] > ranges[kind][0]:
            begin, end = ranges[kind]
            first[kind] = mask[:, :begin].sum(1, dtype=jnp.int32)
            last[kind] = mask[:, :end].sum(1, dtype=jnp.int32)
    return VisiblePrimitives(jnp.minimum(order, count - 1), first, last)
