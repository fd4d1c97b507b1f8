"""The whole loop on a toy: trajectory groups and GSPO steer a flow to a hidden target.

Each episode is two chunks of one 2-D move; its return is how near the target it ends.
"""

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow import log_prob, sde
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.rl import groups, gspo
from omnivla_jax.rl.rollout import rollout

STEPS, CHUNKS, STATES, GROUP = 4, 2, 4, 16
SCHEDULE = Schedule(scale=0.6, floor=0.3)
CONFIG = gspo.GspoConfig(length=STEPS, kl_coefficient=0.0)
TARGET = np.array([0.8, -0.6], np.float32)


def velocity_under(theta: jax.Array):
    """The exact velocity of the data N(theta, .2^2), so theta is the mean move."""

    def velocity(x: jax.Array, tau: jax.Array) -> jax.Array:
        tau = tau[:, None, None]
        variance = (1.0 - tau) ** 2 + (0.2 * tau) ** 2
        centre = jnp.broadcast_to(theta, x.shape)
        slope = (0.04 * tau - (1.0 - tau)) / variance
        return centre + slope * (x - tau * centre)

    return velocity


def act_under(theta: jax.Array):
    def act(state: jax.Array, key: jax.Array):
        noise_key, walk_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (len(state), 1, 2))
        chain = sde.sample(
            walk_key, velocity_under(theta), noise, steps=STEPS, schedule=SCHEDULE
        )
        return chain, chain.states[-1]

    return act


def move(state: jax.Array, actions: jax.Array):
    state = state + actions[:, 0] / CHUNKS
    distance = jnp.sum((state - jnp.broadcast_to(TARGET, state.shape)) ** 2, axis=-1)
    return state, -distance / CHUNKS, jnp.ones(len(state))


def update(theta: jax.Array, key: jax.Array) -> tuple[jax.Array, dict]:
    start_key, rollout_key = jax.random.split(key)
    starts = 0.1 * jax.random.normal(start_key, (STATES, 2))
    _, seen = rollout(
        act_under(theta),
        move,
        groups.repeat(starts, GROUP),
        rollout_key,
        num_chunks=CHUNKS,
    )
    returns = groups.episode_returns(seen.reward, seen.mask)
    worth = groups.group_advantages(returns, group_size=GROUP, std_floor=1e-3)

    def loss(theta: jax.Array, chain: sde.Chain):
        score = log_prob.chain_log_prob(velocity_under(theta), chain, schedule=SCHEDULE)
        return gspo.loss(
            score,
            log_prob.recorded_log_prob(chain),
            worth.advantages,
            worth.weights,
            config=CONFIG,
        )

    slopes, metrics = jax.vmap(jax.grad(loss, has_aux=True), in_axes=(None, 0))(
        theta, seen.observation
    )
    theta = theta - 0.2 * slopes.mean(axis=0)
    return theta, {"return": returns.mean(), "kl": metrics["kl"].mean()}


def test_gspo_finds_the_optimum() -> None:
    @compilation.jit
    def train(theta: jax.Array, keys: jax.Array):
        return jax.lax.scan(update, theta, keys)

    keys = jax.random.split(jax.random.key(0), 300)
    theta, metrics = train(jnp.zeros(2), keys)
    # Rewards count after both chunks: the best single move is 1.2 times the target.
    np.testing.assert_allclose(theta, 1.2 * TARGET, atol=0.1)
    assert metrics["return"][-20:].mean() > 0.5 * metrics["return"][0]
