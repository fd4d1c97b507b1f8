"""Tests of the presets: their sizes, and errors that name the choices."""

import dataclasses
import math

import jax
import pytest

from omnivla_jax.core.types import Observation
from omnivla_jax.policy import config, parameters, policy


@pytest.mark.parametrize("name", config.PRESETS)
def test_presets_fit_together(name):
    sizes = config.preset(name)
    size, params = sizes.vision.image_size, parameters.shapes(sizes)

    def run(params):
        seen = Observation(
            images=jax.numpy.zeros((3, sizes.views, size, size, 3), "uint8"),
            tokens=jax.numpy.zeros((3, sizes.max_tokens), "int32"),
            token_mask=jax.numpy.ones((3, sizes.max_tokens), bool),
            proprio=jax.numpy.zeros((3, sizes.proprio_dim)),
        )
        cache = policy.encode_prefix(params, seen, config=sizes)
        key = jax.random.key(0)
        return policy.sample(params, cache, seen.proprio, key, config=sizes, steps=2)

    chunk = jax.eval_shape(run, params)
    assert chunk.shape == (3, sizes.horizon, sizes.action_dim)
    expected = {"debug": 0.055, "tiny": 1.9, "small": 100, "full": 4240}
    assert millions(params) == pytest.approx(expected[name], rel=0.1)


def test_full_has_the_sizes_of_its_references():
    # openpi's gemma_300m has 311M; PaliGemma 2.92B with 0.41B of SigLIP So400m/14.
    tree = parameters.shapes(config.preset("full"))
    encoder = millions(tree["reasoning"]["encoder"])
    assert millions(tree["reasoning"]) == pytest.approx(2923, abs=1)
    assert encoder - millions(tree["reasoning"]["encoder"]["merge"]) == pytest.approx(
        412.7, abs=0.5
    )
    aggregator = tree["spatial"]["encoder"]["aggregator"]
    assert millions(aggregator) == pytest.approx(909.1, abs=0.1)  # VGGT-1B's
    layers = {name: millions(part["layers"]) for name, part in tree.items()}
    assert layers["action"] == pytest.approx(311.5, abs=0.1)
    assert layers["reasoning"] == pytest.approx(1981.9, abs=0.1)


def millions(tree) -> float:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree)) / 1e6


def test_without_spatial_leaves_two_experts():
    sizes = config.preset("debug").without_spatial()
    assert sizes.spatial_tokens == 0
    assert list(sizes.mot.experts) == ["reasoning", "action"]


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match="preset is 'huge'; choose one of debug, tin"):
        config.preset("huge")
    debug = config.preset("debug")
    with pytest.raises(ValueError, match="must both be set or both be None"):
        dataclasses.replace(debug, spatial_vision=None)
    with pytest.raises(ValueError, match="'added'; choose one of concatenated, adap"):
        dataclasses.replace(debug, time_conditioning="added")
    with pytest.raises(ValueError, match="suffix_attention is 'both'; choose one of"):
        dataclasses.replace(debug, suffix_attention="both")
    with pytest.raises(ValueError, match="noise_range is 0.2 to 0.1; choose 0 < low"):
        dataclasses.replace(debug, noise_range=(0.2, 0.1))
    with pytest.raises(ValueError, match="set mot.action"):
        mot = dataclasses.replace(debug.mot, action=None)
        dataclasses.replace(debug, mot=mot)
