"""Tests of the agent: units of actions, and the loss of imitating recorded chunks."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.policy import config as configs
from omnivla_jax.policy import normalize
from omnivla_jax.policy.heads import action_head
from omnivla_jax.policy.prefix import PrefixCache
from omnivla_jax.train import sft
from omnivla_jax.train.agent import ActorOutput, Agent
from omnivla_jax.train.observation_store import OBSERVATION_STORES

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


def test_imitation_is_the_supervised_loss_of_some():
    """Of chunks 0 and 2, the last of which was executed for one action."""
    config, key = configs.preset("debug"), jax.random.key(0)
    params = sft.fresh_params(key, config)
    chunk = jax.random.normal(key, (3, config.horizon, config.action_dim))
    proprio = jnp.zeros((3, config.proprio_dim))
    heads = config.mot.action
    assert heads is not None
    shape = (3, heads.depth, 5, heads.kv_heads, heads.head_dim)
    keys, values = jax.random.normal(key, (2, *shape))
    cache = PrefixCache(keys, values, jnp.ones((3, 5), bool))
    executed = jnp.ones((3, 3), bool).at[2, 1:].set(False)
    output = ActorOutput(cache, proprio, executed_mask=executed, chunk=chunk)
    agent = Agent(
        config, lambda state, row: state, UNITS, store=OBSERVATION_STORES["cache"]
    )
    shown = jnp.array([True, False, True])
    mask = jnp.array([[1, 1, 1, 0], [0] * 4, [1, 0, 0, 0]], bool)
    wanted = action_head(config).sft_loss(
        params, cache, proprio, chunk, key, config=config, draws=1, loss_mask=mask
    )
    found = agent.imitation_loss(params, output, key, shown)
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    nothing = jax.grad(agent.imitation_loss)(params, output, key, shown & False)
    assert all(not leaf.any() for leaf in jax.tree.leaves(nothing))
