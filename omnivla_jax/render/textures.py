"""Procedural textures: how much of a material's second colour shows at a point.

Each takes surface coordinates u, v and the height w along the local z axis, all in
repetitions, and returns weights in [0, 1] of the same shape. No sines: parabolic waves
cost a few vector instructions.
"""

from typing import Callable

import jax
import jax.numpy as jnp

from omnivla_jax.render.types import TEXTURES

Texture = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def wave(x: jax.Array) -> jax.Array:
    """A smooth wave of period 1 in [-1, 1], near sin(2 pi x)."""
    f = 2 * (x - jnp.floor(x)) - 1
    return -4 * f * (1 - jnp.abs(f))


def plain(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """The first colour only."""
    del v, w
    return jnp.zeros_like(u)


def checker(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Squares of half a repetition."""
    del w
    return (wave(u) * wave(v) > 0).astype(u.dtype)


def wood(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Boards of one repetition's width along u, with grain."""
    del w
    board = jnp.floor(v)
    shift = 0.37 * board
    bend = 0.25 * wave(0.13 * u + shift) + 0.12 * wave(0.41 * u + 0.3 * v + shift)
    grain = 0.5 + 0.5 * wave(2.3 * (v + bend)) * wave(0.9 * v + 0.07 * u + shift)
    fine = 0.5 + 0.5 * wave(11 * v + 0.6 * u + 2 * bend)
    joint = (jnp.abs(v - board - 0.5) > 0.485).astype(u.dtype)
    tone = 0.5 + 0.5 * wave(0.618 * board + 0.1)
    return jnp.clip(0.4 * grain + 0.2 * fine + 0.3 * tone + 0.8 * joint, 0, 1)


def marble(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Veins along a bent diagonal."""
    bend = wave(0.31 * u - 0.53 * v + 0.2 * w) + 0.5 * wave(0.93 * u + 0.77 * v)
    vein = jnp.abs(wave(0.5 * (u + 0.7 * v) + 0.35 * bend))
    cloud = 0.5 + 0.5 * wave(0.23 * u + 0.41 * v + 0.2 * bend)
    return jnp.clip(0.25 * cloud + 0.75 * (1 - vein) ** 3, 0, 1)


def tile(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Square tiles of slightly differing tone with dark joints."""
    del w
    column, row = jnp.floor(u), jnp.floor(v)
    edge = jnp.maximum(jnp.abs(u - column - 0.5), jnp.abs(v - row - 0.5))
    tone = 0.5 + 0.5 * wave(0.618 * column + 0.387 * row)
    return jnp.where(edge > 0.475, 1.0, 0.22 * tone)


def label(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """A band around the middle, of half height one repetition, with a line in it."""
    del u, v
    height = jnp.abs(w)
    line = (height > 0.72) & (height < 0.84)
    return ((height < 1) & ~line).astype(w.dtype)


def cloth(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Crossing threads."""
    del w
    return 0.5 + 0.25 * wave(u) + 0.25 * wave(v)


FUNCTIONS: dict[str, Texture] = {
    "plain": plain,
    "checker": checker,
    "wood": wood,
    "marble": marble,
    "tile": tile,
    "label": label,
    "cloth": cloth,
}


def weight(kind: jax.Array, u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """The weight of the second colour under texture index `kind` (into TEXTURES)."""
    result = jnp.zeros_like(u)
    for index, name in enumerate(TEXTURES):
        result = jnp.where(kind == index, FUNCTIONS[name](u, v, w), result)
    return result
