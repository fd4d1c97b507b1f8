"""Image corruptions of a poor camera: motion, Gaussian and zoom blur, fog, glass.

The fifty corruptions of LIBERO-Plus by number: 1 to 10 motion blur, then Gaussian
blur, zoom blur, fog and frosted glass, ten severities each; 0 leaves the image. All
strengths are data, so that changing them compiles nothing. They are LIBERO-Plus' for
its images of 256 pixels; `corrupt` shrinks radii with smaller images, so that these
look as if they had been taken at 256.

Source: imagecorruptions (ImageNet-C) with LIBERO-Plus' severities; glass differs, see
`glass`. Axes: S image side, H and W rows and columns, C channels. Images are float32
[H, W, C] in [0, 1].
"""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import indices

CORRUPTIONS = ("motion", "gaussian", "zoom", "fog", "glass")
SEVERITIES = 10
COUNT = SEVERITIES * len(CORRUPTIONS)
MAX_SIDE = 256  # of an image, as of LIBERO-Plus': fog is drawn on as many cells
MAX_TAPS = 71  # of the longest motion blur
MAX_RADIUS = 40  # of the widest Gaussian: four standard deviations
TRUNCATE = 4.0  # standard deviations

_MOTION_RADIUS = np.array([5, 8, 10, 12, 15, 18, 20, 25, 30, 35])
_MOTION_SIGMA = np.array([2, 3, 4, 5, 6, 8, 10, 12, 15, 20], np.float32)
_MOTION_ANGLE = np.pi / 4  # at most, radians
_ZOOM = [1.11, 1.16, 1.21, 1.26, 1.31, 1.36, 1.41, 1.46, 1.51, 1.56]
_ZOOM_STEP = [0.01, 0.01, 0.02, 0.02, 0.03, 0.01, 0.01, 0.02, 0.02, 0.03]
_ZOOMS = [np.arange(1, end, step) for end, step in zip(_ZOOM, _ZOOM_STEP)]
_ZOOM_COUNT = np.array([len(factors) for factors in _ZOOMS])
_ZOOM_TABLE = np.ones((SEVERITIES, _ZOOM_COUNT.max()), np.float32)
for _row, _factors in zip(_ZOOM_TABLE, _ZOOMS):
    _row[: len(_factors)] = _factors
_FOG_AMOUNT = np.array([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5], np.float32)
_FOG_DECAY = np.array([3, 2.8, 2.5, 2.2, 2, 1.8, 1.6, 1.5, 1.4, 1.3], np.float32)
_GLASS_SIGMA = np.array([0.5, 0.7, 0.9, 1, 1.1, 1.3, 1.5, 1.8, 2.2, 2.5], np.float32)
_GLASS_REACH = np.array([1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
_GLASS_ITERATIONS = np.array([3, 3, 3, 2, 2, 2, 2, 2, 1, 1])
_STRENGTHS = {  # of each kind, by severity
    "motion": (_MOTION_RADIUS, _MOTION_SIGMA),
    "zoom": (_ZOOM_TABLE, _ZOOM_COUNT),
    "fog": (_FOG_AMOUNT, _FOG_DECAY),
    "glass": (_GLASS_SIGMA, _GLASS_REACH, _GLASS_ITERATIONS),
}


def corrupt(key: jax.Array, image: jax.Array, number: jax.Array) -> jax.Array:
    """Apply one corruption.

    Under vmap all five kinds are computed and one is selected; `jax.lax.map` computes
    one.

    Args:
      key: consumed.
      image: uint8 [H, W, C], sides of at most MAX_SIDE.
      number: int [], 0 to 50. Traced numbers are clipped.

    Returns:
      uint8 [H, W, C].

    Raises:
      ValueError: too large an image, or an unknown number that is not traced.
    """
    check(number)
    chex.assert_rank(image, 3)
    chex.assert_type(image, jnp.uint8)
    if max(image.shape[:2]) > MAX_SIDE:
        raise ValueError(f"Image of {image.shape}: sides are at most {MAX_SIDE}.")
    number = jnp.clip(number, 0, COUNT)
    kind = (number + SEVERITIES - 1) // SEVERITIES
    severity = (number + SEVERITIES - 1) % SEVERITIES
    branches = [functools.partial(_apply, name) for name in ("none", *CORRUPTIONS)]
    result = jax.lax.switch(kind, branches, key, image / 255.0, severity)
    return jnp.round(255 * jnp.clip(result, 0, 1)).astype(jnp.uint8)


def _apply(
    name: str, key: jax.Array, image: jax.Array, severity: jax.Array
) -> jax.Array:
    """Corruption `name` of severity int [] 0 to 9; "none" leaves the image."""
    strengths = [jnp.asarray(table)[severity] for table in _STRENGTHS.get(name, ())]
    scale = image.shape[0] / MAX_SIDE  # of lengths in pixels
    match name:
        case "motion":
            (radius, sigma), limit = strengths, _MOTION_ANGLE
            angle = jax.random.uniform(key, (), minval=-limit, maxval=limit)
            radius, sigma = scale * radius, scale * sigma
            return motion(image, radius=radius, sigma=sigma, angle=angle)
        case "gaussian":
            return gaussian(image, sigma=scale * (severity + 1.0))
        case "zoom":
            factors, count = strengths
            return zoom(image, factors=factors, count=count)
        case "fog":
            amount, decay = strengths
            return fog(key, image, amount=amount, decay=decay)
        case "glass":
            sigma, reach, iterations = strengths
            sigma = scale * sigma
            reach = jnp.maximum(jnp.round(scale * reach), 1).astype(jnp.int32)
            return glass(key, image, sigma=sigma, reach=reach, iterations=iterations)
    return image


def check(number: jax.Array) -> None:
    """Refuse unknown corruption numbers, unless they are traced.

    Args:
      number: int [...], 0 to 50.

    Raises:
      ValueError: names the unknown numbers.
    """
    unknown = indices.unknown(number, range(COUNT + 1), name="corruption number")
    if unknown:
        raise ValueError(f"Unknown corruptions {unknown}: choose among 0 to {COUNT}.")


def motion(
    image: jax.Array, *, radius: jax.Array, sigma: jax.Array, angle: jax.Array
) -> jax.Array:
    """ImageMagick's motion blur: half a Gaussian along a line, edges repeated.

    Args:
      image: float32 [H, W, C].
      radius: [] at most 35, pixels.
      sigma: [], standard deviation, pixels.
      angle: [], from the rows' direction, radians.

    Returns:
      float32 [H, W, C].
    """
    taps = jnp.arange(MAX_TAPS)
    weight = jnp.exp(-(taps**2) / (2 * sigma**2)) * (taps < 2 * radius + 1)
    weight = weight / weight.sum()
    across = jnp.ceil(taps * jnp.cos(angle) - 0.5).astype(jnp.int32)
    down = jnp.ceil(taps * jnp.sin(angle) - 0.5).astype(jnp.int32)
    row, column = jnp.arange(image.shape[0]), jnp.arange(image.shape[1])

    def add_tap(tap: jax.Array, total: jax.Array) -> jax.Array:
        y = jnp.clip(row + down[tap], 0, image.shape[0] - 1)
        x = jnp.clip(column + across[tap], 0, image.shape[1] - 1)
        return total + weight[tap] * image[y][:, x]

    return jax.lax.fori_loop(0, MAX_TAPS, add_tap, jnp.zeros_like(image))


def gaussian(image: jax.Array, *, sigma: jax.Array) -> jax.Array:
    """A Gaussian blur, cut at four standard deviations, edges repeated.

    Args:
      image: float32 [H, W, C].
      sigma: [] at most 10, standard deviation, pixels.

    Returns:
      float32 [H, W, C].
    """
    rows, columns = (_gaussian_matrix(side, sigma) for side in image.shape[:2])
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("ij,jkc,lk->ilc", rows, image, columns, precision=highest)


def zoom(image: jax.Array, *, factors: jax.Array, count: jax.Array) -> jax.Array:
    """Average the image and enlargements of it.

    Args:
      image: float32 [H, W, C].
      factors: float32 [F], enlargements.
      count: int [], how many of them to use, from the first on.

    Returns:
      float32 [H, W, C].
    """
    height, width = image.shape[:2]

    def add_enlarged(index: jax.Array, total: jax.Array) -> jax.Array:
        rows = _interpolate(image, _zoom_source(height, factors[index]), axis=0)
        both = _interpolate(rows, _zoom_source(width, factors[index]), axis=1)
        return total + (index < count) * both

    total = jax.lax.fori_loop(0, factors.shape[0], add_enlarged, image)
    return total / (count + 1)


def fog(
    key: jax.Array, image: jax.Array, *, amount: jax.Array, decay: jax.Array
) -> jax.Array:
    """Add `amount` of a cloud, then dim so that the brightest value stays.

    Args:
      key: consumed.
      image: float32 [H, W, C].
      amount: [], weight of the cloud.
      decay: [], see `plasma`.

    Returns:
      float32 [H, W, C].
    """
    height, width = image.shape[:2]
    whole = plasma(key, decay=decay)
    cloud = jax.image.resize(whole, (height, width), "linear")[..., None]
    brightest = image.max()
    return (image + amount * cloud) * brightest / (brightest + amount)


def glass(
    key: jax.Array,
    image: jax.Array,
    *,
    sigma: jax.Array,
    reach: jax.Array,
    iterations: jax.Array,
) -> jax.Array:
    """Scatter pixels between two Gaussian blurs.

    imagecorruptions swaps pixels one after the other; here every pixel takes its colour
    from a neighbour at once, with the same distribution of displacements.

    Args:
      key: consumed.
      image: float32 [H, W, C].
      sigma: [], of the blurs, pixels.
      reach: int [], bound of the displacements, pixels.
      iterations: int [], at most 3.

    Returns:
      float32 [H, W, C].
    """
    height, width = image.shape[:2]
    row, column = jnp.arange(height)[:, None], jnp.arange(width)
    blurred = gaussian(image, sigma=sigma)

    def scatter(index: jax.Array, image: jax.Array) -> jax.Array:
        shape, step_key = (2, height, width), jax.random.fold_in(key, index)
        step = jax.random.randint(step_key, shape, -reach, reach)
        y = jnp.clip(row + step[0], 0, height - 1)
        x = jnp.clip(column + step[1], 0, width - 1)
        return jnp.where(index < iterations, image[y, x], image)

    scattered = jax.lax.fori_loop(0, _GLASS_ITERATIONS.max(), scatter, blurred)
    return gaussian(scattered, sigma=sigma)


def plasma(key: jax.Array, *, decay: jax.Array) -> jax.Array:
    """A cloud by diamonds and squares on a torus.

    Args:
      key: consumed.
      decay: [], its square divides the roughness at each halving of the cells.

    Returns:
      float32 [256, 256] in [0, 1].
    """
    grid, wibble = jnp.zeros((1, 1)), jnp.asarray(100.0)
    for level in range(MAX_SIDE.bit_length() - 1):
        grid = _subdivide(jax.random.fold_in(key, level), grid, wibble)
        wibble = wibble / decay
    grid = grid - grid.min()
    return grid / grid.max()


def _subdivide(key: jax.Array, corners: jax.Array, wibble: jax.Array) -> jax.Array:
    """[n, n] to [2 n, 2 n]: centres of squares, then of their sides, each disturbed."""
    keys = jax.random.split(key, 3)

    def disturb(key: jax.Array, total: jax.Array) -> jax.Array:
        bound = wibble**2
        noise = jax.random.uniform(key, total.shape, minval=-bound, maxval=bound)
        return total / 4 + noise

    square = corners + jnp.roll(corners, -1, 0)
    centres = disturb(keys[0], square + jnp.roll(square, -1, 1))
    beside = corners + jnp.roll(corners, -1, 1)
    across = disturb(keys[1], centres + jnp.roll(centres, 1, 0) + beside)
    below = corners + jnp.roll(corners, -1, 0)
    down = disturb(keys[2], centres + jnp.roll(centres, 1, 1) + below)
    upper, lower = jnp.stack([corners, across], -1), jnp.stack([down, centres], -1)
    side = 2 * corners.shape[0]
    return jnp.stack([upper, lower], axis=1).reshape(side, side)


def _gaussian_matrix(side: int, sigma: jax.Array) -> jax.Array:
    """[side, side]: rows are normalised weights; edge pixels repeat outside."""
    offset = jnp.arange(-MAX_RADIUS, MAX_RADIUS + 1)
    weight = jnp.exp(-(offset**2) / (2 * sigma**2))
    weight = weight * (jnp.abs(offset) <= jnp.floor(TRUNCATE * sigma + 0.5))
    weight = jnp.broadcast_to(weight / weight.sum(), (side, offset.size))
    row = jnp.arange(side)[:, None]
    column = jnp.clip(row + offset, 0, side - 1)
    return jnp.zeros((side, side)).at[row, column].add(weight)


def _zoom_source(side: int, factor: jax.Array) -> jax.Array:
    """Source coordinates [side] of the pixels of an enlarged image, pixels.

    The middle `ceil(side / factor)` pixels grow by `factor`, corner to corner as in
    scipy.ndimage.zoom, and the middle of the result is cropped.
    """
    cropped = jnp.ceil(side / factor)
    enlarged = jnp.round(cropped * factor)
    index = jnp.arange(side) + jnp.floor((enlarged - side) / 2)
    scaled = index * (cropped - 1) / jnp.maximum(enlarged - 1, 1)
    return scaled + (side - cropped) // 2


def _interpolate(image: jax.Array, source: jax.Array, *, axis: int) -> jax.Array:
    """Sample the image linearly at `source` coordinates along an axis."""
    low = jnp.clip(source.astype(jnp.int32), 0, image.shape[axis] - 2)
    weight = jnp.expand_dims(source - low, tuple({0, 1, 2} - {axis}))
    first, second = (jnp.take(image, low + i, axis=axis) for i in range(2))
    return first * (1 - weight) + second * weight
