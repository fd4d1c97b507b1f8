"""Tests of the agent's units: actions relative to the state that they were drawn in."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.policy import config as configs
from omnivla_jax.policy import normalize
from omnivla_jax.train.agent import Agent

PADDED = dataclasses.replace(
    configs.preset("debug"),
    action_dim=32,
    real_action_dim=7,
    proprio_dim=32,
    real_proprio_dim=8,
)
DELTA = dataclasses.replace(PADDED, delta_mask=(True,) * 6 + (False,))
UNITS = normalize.Normalizer(
    normalize.Affine(jnp.linspace(-1, 1, 8), jnp.linspace(0.5, 2, 8)),
    normalize.Affine(jnp.linspace(0, 1, 7), jnp.full(7, 2.0)),
)


def test_branches_are_relative_to_their_own_state():
    states = jax.random.normal(jax.random.key(0), (2, 8))
    chunk = jax.random.normal(jax.random.key(1), (2 * 3, 4, 32))
    proprio = normalize.pad_dims(normalize.normalize(UNITS.state, states), 32)
    actions, relative = (
        Agent(config, lambda state, row: state, UNITS).to_simulator(chunk, proprio)
        for config in (DELTA, PADDED)
    )
    assert actions.shape == relative.shape == (6, 4, 7)
    moved = np.asarray(actions - relative).reshape(2, 3, 4, 7)
    for row, state in enumerate(states):
        expected = np.broadcast_to([*state[:6], 0], (3, 4, 7))
        np.testing.assert_allclose(moved[row], expected, atol=1e-5)
