"""Procedural textures: the weight of a material's second colour at a surface point.

No sines: parabolic waves cost a few vector instructions.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.render.types import TEXTURES


def second_color_weight(
    texture: jax.Array, u: jax.Array, v: jax.Array, w: jax.Array
) -> jax.Array:
    """The weight of the second colour under each point's texture.

    Args:
      texture: int32, index into TEXTURES.
      u, v: float32, same shape: surface coordinates, in repetitions.
      w: float32, same shape: height along the local z axis, in repetitions.

    Returns:
      float32 in [0, 1], same shape.
    """
    result = jnp.zeros_like(u)
    for index, name in enumerate(TEXTURES):
        result = jnp.where(texture == index, texture_weight(name, u, v, w), result)
    return result


def texture_weight(name: str, u: jax.Array, v: jax.Array, w: jax.Array) -> jax.Array:
    """The weight of the second colour under one texture.

    Args:
      name: one of TEXTURES.
      u, v, w: as of `second_color_weight`.

    Returns:
      float32 in [0, 1], same shape.

    Raises:
      ValueError: unknown name.
    """
    match name:
        case "plain":
            return jnp.zeros_like(u)
        case "checker":  # squares of half a repetition
            return (wave(u) * wave(v) > 0).astype(u.dtype)
        case "wood":
            return _wood(u, v)
        case "marble":  # veins along a bent diagonal
            bend = wave(0.31 * u - 0.53 * v + 0.2 * w) + 0.5 * wave(0.93 * u + 0.77 * v)
            vein = jnp.abs(wave(0.5 * (u + 0.7 * v) + 0.35 * bend))
            cloud = 0.5 + 0.5 * wave(0.23 * u + 0.41 * v + 0.2 * bend)
            return jnp.clip(0.25 * cloud + 0.75 * (1 - vein) ** 3, 0, 1)
        case "tile":
            return _tiles(u, v)
        case "label":  # a band of half height one repetition with a line in it
            height = jnp.abs(w)
            line = (height > 0.72) & (height < 0.84)
            return ((height < 1) & ~line).astype(w.dtype)
        case "cloth":  # crossing threads
            return 0.5 + 0.25 * wave(u) + 0.25 * wave(v)
        case "print":
            return _print(u, v)
        case "fruit":
            return _fruit(u, v)
        case "weave":
            return _weave(u, v)
        case "stripes":  # bands across u
            return 0.5 + 0.5 * wave(u)
        case "speckle":
            return _speckle(u, v)
        case "rim":  # a ring just within one repetition of the centre
            return (u * u + v * v > 0.74).astype(u.dtype)
        case "coil":  # rings about the centre, one a repetition
            return (wave(jnp.sqrt(u * u + v * v) + 0.25) > 0).astype(u.dtype)
        case "glaze":  # above 0.6 repetitions
            return (w > 0.6).astype(w.dtype)
        case "dipped":  # the upper half
            return (w > 0).astype(w.dtype)
        case "brick":
            return _bricks(u, v)
        case "twill":  # diagonal ridges, broken by crossing threads
            ridge = 0.5 + 0.5 * wave(u + v)
            return jnp.clip(ridge + 0.2 * wave(3 * u) * wave(3 * v), 0, 1)
        case "pebble":
            return _pebbles(u, v)
    raise ValueError(f"Unknown texture {name!r}: choose from {TEXTURES}.")


def wave(x: jax.Array) -> jax.Array:
    """A smooth wave of period 1, close to sin(2 pi x).

    Args:
      x: float32.

    Returns:
      float32 in [-1, 1], same shape.
    """
    f = 2 * (x - jnp.floor(x)) - 1
    return -4 * f * (1 - jnp.abs(f))


def _wood(u: jax.Array, v: jax.Array) -> jax.Array:
    """Boards of one repetition's width along u, with grain and joints."""
    board = jnp.floor(v)
    shift = 0.37 * board
    bend = 0.25 * wave(0.13 * u + shift) + 0.12 * wave(0.41 * u + 0.3 * v + shift)
    grain = 0.5 + 0.5 * wave(2.3 * (v + bend)) * wave(0.9 * v + 0.07 * u + shift)
    fine = 0.5 + 0.5 * wave(11 * v + 0.6 * u + 2 * bend)
    joint = (jnp.abs(v - board - 0.5) > 0.485).astype(u.dtype)
    tone = 0.5 + 0.5 * wave(0.618 * board + 0.1)
    return jnp.clip(0.4 * grain + 0.2 * fine + 0.3 * tone + 0.8 * joint, 0, 1)


def _tiles(u: jax.Array, v: jax.Array) -> jax.Array:
    """Square tiles of slightly differing tone with dark joints."""
    column, row = jnp.floor(u), jnp.floor(v)
    edge = jnp.maximum(jnp.abs(u - column - 0.5), jnp.abs(v - row - 0.5))
    tone = 0.5 + 0.5 * wave(0.618 * column + 0.387 * row)
    return jnp.where(edge > 0.475, 1.0, 0.22 * tone)


def _bricks(u: jax.Array, v: jax.Array) -> jax.Array:
    """Courses of bricks, half shifted in every other one, with pale joints."""
    row = jnp.floor(2 * v)
    along = u + 0.5 * (row - 2 * jnp.floor(row / 2))
    column = jnp.floor(along)
    joint = (jnp.abs(along - column - 0.5) > 0.46) | (jnp.abs(2 * v - row - 0.5) > 0.42)
    tone = 0.3 * _cell_noise(column, row)
    return jnp.where(joint, 1.0, tone)


def _pebbles(u: jax.Array, v: jax.Array) -> jax.Array:
    """Rounded cells of irregular outline, one a repetition, with dark gaps."""
    a = u + 0.22 * wave(0.83 * v + 0.31 * wave(0.41 * u))
    b = v + 0.22 * wave(0.71 * u + 0.27 * wave(0.37 * v))
    row = jnp.floor(b)
    along = a + 0.5 * (row - 2 * jnp.floor(row / 2))
    column = jnp.floor(along)
    x, y = along - column - 0.5, b - row - 0.5
    gap = jnp.clip(8 * (x * x + y * y) - 0.9, 0, 1)
    return jnp.clip(gap + 0.3 * _cell_noise(column, row), 0, 1)


def _speckle(u: jax.Array, v: jax.Array) -> jax.Array:
    """Dots of random sizes, one in every cell."""
    column, row = jnp.floor(u), jnp.floor(v)
    x, y = u - column - 0.5, v - row - 0.5
    size = 0.12 * _cell_noise(column, row)
    return (x * x + y * y < size).astype(u.dtype)


def _weave(u: jax.Array, v: jax.Array) -> jax.Array:
    """Strands of half a repetition that pass over and under each other."""
    a, b = 2 * u, 2 * v
    column, row = jnp.floor(a), jnp.floor(b)
    level = (column + row) - 2 * jnp.floor((column + row) / 2) > 0.5
    across = jnp.where(level, a - column, b - row) - 0.5
    along = jnp.where(level, b - row, a - column) - 0.5
    return jnp.clip(3.2 * across * across + 1.2 * along * along, 0, 1)


def _print(u: jax.Array, v: jax.Array) -> jax.Array:
    """A block with a title cut out of it, and two lines of writing below."""
    title = _text_line(u, (v - 0.3) / 0.2, 0.34) & (jnp.abs(u) < 1.5)
    block = (v > -0.1) & (v < 0.75) & ~title
    upper = _text_line(u, (v + 0.35) / 0.09, 0.16)
    lines = upper | _text_line(u + 3, (v + 0.65) / 0.09, 0.16)
    return (block | lines & (jnp.abs(u) < 1.3)).astype(u.dtype)


def _fruit(u: jax.Array, v: jax.Array) -> jax.Array:
    """A pale disc, halved like an orange, above a line of writing."""
    high = v - 0.15
    radius = jnp.sqrt(u * u + high * high)
    spokes = jnp.abs(u * high) * jnp.abs(u * u - high * high) > 0.012 * radius**2
    disc = (radius < 0.62) & ((radius > 0.52) | spokes)
    return (disc | _text_line(u, (v + 0.85) / 0.14, 0.3)).astype(u.dtype)


def _text_line(along: jax.Array, across: jax.Array, pitch: float) -> jax.Array:
    """A line of writing: strokes of random widths within |across| < 1."""
    column = jnp.floor(along / pitch)
    offset = jnp.abs(along / pitch - column - 0.5)
    inside = offset < 0.18 + 0.3 * _cell_noise(column, 0.0)
    return inside & (jnp.abs(across) < 1)


def _cell_noise(column: jax.Array, row: jax.Array | float) -> jax.Array:
    """In [0, 1], constant within a cell and different in its neighbours."""
    return jnp.abs(wave(0.618 * column + 0.377 * row + 0.171 * wave(0.29 * column)))
