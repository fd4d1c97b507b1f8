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


def _noise(column: jax.Array, row: jax.Array | float) -> jax.Array:
    """In [0, 1], the same within a cell and unlike in its neighbours'."""
    return jnp.abs(wave(0.618 * column + 0.377 * row + 0.171 * wave(0.29 * column)))


def _line(along: jax.Array, across: jax.Array, pitch: float) -> jax.Array:
    """A line of writing: strokes of chance widths within |across| < 1."""
    column = jnp.floor(along / pitch)
    inside = jnp.abs(along / pitch - column - 0.5) < 0.18 + 0.3 * _noise(column, 0.0)
    return inside & (jnp.abs(across) < 1)


def printed(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """A block with a title cut out of it, and two lines of writing under it."""
    del w
    title = _line(u, (v - 0.3) / 0.2, 0.34) & (jnp.abs(u) < 1.5)
    block = (v > -0.1) & (v < 0.75) & ~title
    small = _line(u, (v + 0.35) / 0.09, 0.16) | _line(u + 3, (v + 0.65) / 0.09, 0.16)
    return (block | small & (jnp.abs(u) < 1.3)).astype(u.dtype)


def fruit(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """A pale disc, halved like an orange, above a line of writing."""
    del w
    high = v - 0.15
    radius = jnp.sqrt(u * u + high * high)
    spokes = jnp.abs(u * high) * jnp.abs(u * u - high * high) > 0.012 * radius**2
    disc = (radius < 0.62) & ((radius > 0.52) | spokes)
    return (disc | _line(u, (v + 0.85) / 0.14, 0.3)).astype(u.dtype)


def weave(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Strands of half a repetition that pass over and under each other."""
    del w
    a, b = 2 * u, 2 * v
    column, row = jnp.floor(a), jnp.floor(b)
    level = (column + row) - 2 * jnp.floor((column + row) / 2) > 0.5
    across = jnp.where(level, a - column, b - row) - 0.5
    along = jnp.where(level, b - row, a - column) - 0.5
    return jnp.clip(3.2 * across * across + 1.2 * along * along, 0, 1)


def stripes(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Bands across u."""
    del v, w
    return 0.5 + 0.5 * wave(u)


def speckle(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Dots of chance sizes, one in every cell."""
    del w
    column, row = jnp.floor(u), jnp.floor(v)
    x, y = u - column - 0.5, v - row - 0.5
    size = 0.12 * _noise(column, row)
    return (x * x + y * y < size).astype(u.dtype)


def rim(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """A ring just within one repetition of the centre."""
    del w
    return (u * u + v * v > 0.74).astype(u.dtype)


def coil(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """Rings about the centre, one a repetition."""
    del w
    return (wave(jnp.sqrt(u * u + v * v) + 0.25) > 0).astype(u.dtype)


def glaze(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """What is higher than 0.6 repetitions."""
    del u, v
    return (w > 0.6).astype(w.dtype)


def dipped(u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """The upper half."""
    del u, v
    return (w > 0).astype(w.dtype)


FUNCTIONS: dict[str, Texture] = {
    "plain": plain,
    "checker": checker,
    "wood": wood,
    "marble": marble,
    "tile": tile,
    "label": label,
    "cloth": cloth,
    "print": printed,
    "fruit": fruit,
    "weave": weave,
    "stripes": stripes,
    "speckle": speckle,
    "rim": rim,
    "coil": coil,
    "glaze": glaze,
    "dipped": dipped,
}


def weight(kind: jax.Array, u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """The weight of the second colour under texture index `kind` (into TEXTURES)."""
    result = jnp.zeros_like(u)
    for index, name in enumerate(TEXTURES):
        result = jnp.where(kind == index, FUNCTIONS[name](u, v, w), result)
    return result
