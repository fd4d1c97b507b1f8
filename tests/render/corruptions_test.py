"""Image corruptions against scipy, ImageMagick's and imagecorruptions' arithmetic."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from omnivla_jax.core import compile
from omnivla_jax.render import corruptions

SIDE = 48
UINT8_IMAGE = (
    np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
)
IMAGE = UINT8_IMAGE / np.float32(255)
GIVEN = jnp.asarray(IMAGE)
KEY = jax.random.key(0)


@pytest.mark.parametrize("sigma", [1.0, 3.0, 10.0])
def test_gaussian_blur_is_scipys(sigma):
    wanted = ndimage.gaussian_filter(IMAGE, (sigma, sigma, 0), mode="nearest")
    found = corruptions.gaussian(GIVEN, sigma=jnp.asarray(sigma))
    np.testing.assert_allclose(found, wanted, atol=2e-5)


@pytest.mark.parametrize("radius, sigma, degrees", [(5, 2, 30), (35, 20, -45)])
def test_motion_blur_is_imagemagicks(radius, sigma, degrees):
    # MotionBlurImage: its angle is measured so that offsets are (cos, sin).
    width, angle = 2 * radius + 1, np.radians(degrees)
    kernel = np.exp(-np.arange(width) ** 2 / (2 * sigma**2))
    wanted = np.zeros_like(IMAGE)
    for tap, weight in enumerate(kernel / kernel.sum()):
        across, down = np.cos(angle) * tap, np.sin(angle) * tap
        x = np.clip(np.arange(SIDE) + int(np.ceil(across - 0.5)), 0, SIDE - 1)
        y = np.clip(np.arange(SIDE) + int(np.ceil(down - 0.5)), 0, SIDE - 1)
        wanted += weight * IMAGE[np.ix_(y, x)]
    found = corruptions.motion(GIVEN, radius=radius, sigma=sigma, angle=angle)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def enlarged(image, factor):
    """imagecorruptions.clipped_zoom."""
    side = image.shape[0]
    kept = int(np.ceil(side / factor))
    top = (side - kept) // 2
    middle = image[top : top + kept, top : top + kept]
    grown = ndimage.zoom(middle, (factor, factor, 1), order=1)
    trim = (grown.shape[0] - side) // 2
    return grown[trim : trim + side, trim : trim + side]


@pytest.mark.parametrize("end, step", [(1.11, 0.01), (1.56, 0.03)])
def test_zoom_blur_is_imagecorruptions(end, step):
    factors = np.arange(1, end, step).astype(np.float32)
    wanted = (IMAGE + sum(enlarged(IMAGE, f) for f in factors)) / (len(factors) + 1)
    padded = np.concatenate([factors, np.ones(3, np.float32)])
    count = jnp.asarray(len(factors))
    found = corruptions.zoom(GIVEN, factors=jnp.asarray(padded), count=count)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.slow
def test_slower_decay_makes_rougher_clouds():
    clouds = [corruptions.plasma(KEY, decay=jnp.asarray(decay)) for decay in (3.0, 1.3)]
    for cloud in clouds:
        assert cloud.shape == (256, 256)
        assert float(cloud.min()) == 0 and float(cloud.max()) == pytest.approx(1)
    smooth, rough = (float(jnp.abs(jnp.diff(c, axis=0)).mean()) for c in clouds)
    assert rough > 5 * smooth


@pytest.mark.slow
def test_fog_keeps_the_brightest_value_and_whitens():
    foggy = corruptions.fog(KEY, GIVEN, amount=jnp.asarray(2.0), decay=jnp.asarray(2.2))
    assert float(foggy.max()) <= IMAGE.max() + 1e-6
    assert float(foggy.std()) < 0.7 * IMAGE.std()


def test_glass_moves_pixels_less_than_reach():
    point = np.zeros((SIDE, SIDE, 1), np.float32)
    point[20:28, 20:28] = 1
    sigma, two = jnp.asarray(0.1), jnp.asarray(2)
    given = jnp.asarray(point)
    seen = corruptions.glass(KEY, given, sigma=sigma, reach=two, iterations=two)[..., 0]
    assert not np.array_equal(seen, point[..., 0])
    assert set(np.unique(seen.round(5))) == {0.0, 1.0}  # moved, not mixed
    rows, columns = np.nonzero(seen)
    assert rows.min() >= 16 and columns.max() <= 31


@pytest.mark.slow
def test_one_program_applies_every_corruption():
    @chex.assert_max_traces(n=1)
    def run(numbers, key):
        keys = jax.random.split(key, numbers.size)
        image = jnp.asarray(UINT8_IMAGE)
        rows = (keys, numbers)
        return jax.lax.map(lambda row: corruptions.corrupt(row[0], image, row[1]), rows)

    program = compile.jit(run)
    seen = np.asarray(program(jnp.arange(51), KEY))
    np.testing.assert_array_equal(seen[0], UINT8_IMAGE)
    change = np.abs(seen.astype(float) - UINT8_IMAGE).mean((1, 2, 3))
    severe = change[1:].reshape(5, 10)[:, 5:]  # at 48 pixels the mildest blur nothing
    assert (severe > 1).all(), change
    again = np.asarray(program(jnp.arange(51)[::-1], KEY))[::-1]
    np.testing.assert_array_equal(again[11:31], seen[11:31])  # the two without chance
    softer = change[11:31].reshape(2, 10)
    assert (np.diff(softer[0]) >= 0).all()  # a wider Gaussian changes more


@pytest.mark.slow
def test_radii_shrink_with_the_image():
    """A picture taken at 256 and shrunk is the small picture, corrupted."""
    large = np.zeros((256, 256, 3), np.uint8)
    large[64:192, 96:160] = 255
    small = large[2::4, 2::4]
    seen = [
        np.asarray(corruptions.corrupt(KEY, jnp.asarray(image), jnp.asarray(20)), float)
        for image in (large, small)
    ]
    mean = seen[0].reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(mean - seen[1]).max() < 12


def test_large_images_are_refused():
    with pytest.raises(ValueError, match="at most 256"):
        corruptions.corrupt(KEY, jnp.zeros((300, 300, 3), jnp.uint8), jnp.asarray(1))


@pytest.mark.parametrize("number", [51, -1])
def test_unknown_corruptions_are_refused_unless_traced(number):
    with pytest.raises(ValueError, match=rf"\[{number}\].*0 to 50"):
        corruptions.corrupt(KEY, jnp.asarray(UINT8_IMAGE), jnp.asarray(number))
    seen = compile.jit(corruptions.corrupt)(
        KEY, jnp.asarray(UINT8_IMAGE), jnp.asarray(number)
    )
    assert seen.dtype == jnp.uint8  # the nearest number's: an image as any other
    if number < 0:
        np.testing.assert_array_equal(seen, UINT8_IMAGE)
