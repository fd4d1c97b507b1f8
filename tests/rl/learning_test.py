"""The whole loop on a toy: every objective steers a flow to an optimum known on paper.

Each episode is two chunks of one 2-D move of half an action; a chunk's reward is how
near the target T it ends. The policy is the exact flow of N(theta, .2^2), so it is one
mean action theta.
"""

import functools
from typing import Callable, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core import compile as compilation
from omnivla_jax.flow import kl, log_prob, sde
from omnivla_jax.flow.schedules import Schedule
from omnivla_jax.rl import chunk_groups, dpo, dppo, gae, groups, grpo, gspo, ppo
from omnivla_jax.rl.rollout import rollout

STEPS, CHUNKS, STATES, GROUP = 4, 2, 4, 16
UPDATES, EPOCHS = 300, 2
SCHEDULE = Schedule(scale=0.6, floor=0.3)
TARGET = np.array([0.8, -0.6], np.float32)
GSPO = functools.partial(
    gspo.loss,
    exact_kl=kl.transition_kl,
    config=gspo.GspoConfig(ratio_normalizer=STEPS, kl_coefficient=0.0),
)
GRPO = functools.partial(
    grpo.loss, exact_kl=kl.transition_kl, config=grpo.GrpoConfig(kl_coefficient=0.0)
)
# A ratio clipped at .2 after its STEPS-th root, as the others' are.
CRITIC = ppo.PpoConfig(
    ratio_normalizer=STEPS, gamma=1.0, gae_lambda=0.95, kl_coefficient=0.0
)
PPO = functools.partial(gspo.loss, exact_kl=kl.transition_kl, config=CRITIC)
DPPO = functools.partial(
    dppo.loss, exact_kl=kl.transition_kl, config=dppo.DppoConfig(ratio_normalizer=2)
)
DPO = functools.partial(
    dpo.loss,
    group=jnp.repeat(jnp.arange(STATES), GROUP),
    exact_kl=kl.transition_kl,
    config=dpo.DpoConfig(ratio_normalizer=STEPS, dpo_beta=1.0),
)


class Chunks(NamedTuple):
    """Chunks and their advantages, [T, B, ...]."""

    chain: sde.Chain
    features: jax.Array  # [T, B, 4]: of the states that they began in
    advantages: jax.Array
    weights: jax.Array
    returns: jax.Array  # what a critic learns
    values: jax.Array  # what it said


Params = dict[str, jax.Array]  # theta [2], critic [T, 4]
Play = Callable[[Params, jax.Array], Chunks]


def velocity_under(theta: jax.Array):
    """The exact velocity of the data N(theta, .2^2), so theta is the mean move."""

    def velocity(x: jax.Array, tau: jax.Array) -> jax.Array:
        tau = tau[:, None, None]
        variance = (1.0 - tau) ** 2 + (0.2 * tau) ** 2
        centre = jnp.broadcast_to(theta, x.shape)
        slope = (0.04 * tau - (1.0 - tau)) / variance
        return centre + slope * (x - tau * centre)

    return velocity


def act_under(theta: jax.Array, clones: int = 1):
    def act(state: jax.Array, key: jax.Array):
        state = groups.repeat(state, clones)
        noise_key, walk_key = jax.random.split(key)
        noise = jax.random.normal(noise_key, (len(state), 1, 2))
        chain = sde.sample(
            walk_key, velocity_under(theta), noise, steps=STEPS, schedule=SCHEDULE
        )
        return (chain, features(state)), chain.states[-1]

    return act


def move(state: jax.Array, actions: jax.Array):
    state = state + actions[:, 0] / CHUNKS
    distance = jnp.sum((state - jnp.broadcast_to(TARGET, state.shape)) ** 2, axis=-1)
    return state, -distance / CHUNKS, jnp.ones((len(state), 1))


def starts(key: jax.Array, number: int) -> jax.Array:
    return 0.1 * jax.random.normal(key, (number, 2))


def features(state: jax.Array) -> jax.Array:
    """Of which the true value is a linear function, [B, 4]."""
    square = jnp.sum(state**2, axis=-1, keepdims=True)
    return jnp.concatenate([jnp.ones_like(square), state, square], axis=-1)


def trajectory_groups(params: Params, key: jax.Array) -> Chunks:
    start_key, play_key = jax.random.split(key)
    state = groups.repeat(starts(start_key, STATES), GROUP)
    _, seen = rollout(
        act_under(params["theta"]), move, state, play_key, num_chunks=CHUNKS
    )
    returns = jnp.sum(seen.reward, axis=0)
    found = groups.group_advantages(returns, group_size=GROUP, adv_std_min=1e-3)
    advantages, weights = (
        jnp.broadcast_to(part, seen.reward.shape) for part in found[:2]
    )
    chain, began = seen.extras
    return Chunks(chain, began, advantages, weights, seen.reward, seen.reward)


def clones(params: Params, key: jax.Array) -> Chunks:
    start_key, play_key = jax.random.split(key)

    def attempt(state: jax.Array, actions: jax.Array):
        after, reward, mask = move(groups.repeat(state, GROUP), actions)
        return after[::GROUP], reward, mask  # the first clone goes on

    _, seen = rollout(
        act_under(params["theta"], GROUP),
        attempt,
        starts(start_key, STATES),
        play_key,
        num_chunks=CHUNKS,
    )
    # Above every deviation: dividing by each state's own would move the optimum, since
    # chunk groups meet states of different deviations.
    found = chunk_groups.chunk_advantages(
        seen.reward, seen.mask[..., 0], group_size=GROUP, adv_std_min=0.5
    )
    chain, began = seen.extras
    return Chunks(
        chain, began, found.advantages, found.weights, seen.reward, seen.reward
    )


def with_critic(params: Params, key: jax.Array) -> Chunks:
    start_key, play_key = jax.random.split(key)
    state = starts(start_key, STATES * GROUP)
    _, seen = rollout(
        act_under(params["theta"]), move, state, play_key, num_chunks=CHUNKS
    )
    values = jnp.einsum("tbf,tf->tb", seen.extras[1], params["critic"])
    after = jnp.zeros_like(values[:1])
    ended = jnp.zeros(values.shape, bool).at[-1].set(True)
    found = gae.estimate(
        seen.reward,
        jnp.concatenate([values, after]),
        seen.mask[..., 0],
        ended,
        gamma=CRITIC.gamma,
        gae_lambda=CRITIC.gae_lambda,
    )
    advantages = gae.normalized(found.advantages, seen.mask[..., 0], adv_std_min=1e-3)
    chain, began = seen.extras
    return Chunks(chain, began, advantages, seen.mask[..., 0], found.returns, values)


def policy_loss(objective: Callable, params: Params, part: Chunks) -> jax.Array:
    """Of one chunk index, [B, ...]."""
    velocity = velocity_under(params["theta"])
    new = log_prob.chain_log_prob(velocity, part.chain, schedule=SCHEDULE)
    old = log_prob.recorded_log_prob(part.chain)
    return objective(new, old, part.advantages, part.weights)[0]


def critic_loss(params: Params, seen: Chunks) -> jax.Array:
    values = jnp.einsum("tbf,tf->tb", seen.features, params["critic"])
    parts = (values, seen.values, seen.returns, seen.weights)
    flat = (part.reshape(-1) for part in parts)
    return ppo.value_loss(*flat, config=CRITIC)[0]


def trained(play: Play, objective: Callable, rate: float) -> tuple[Params, Params]:
    """Parameters after all updates, and after each."""

    def update(params: Params, key: jax.Array) -> tuple[Params, Params]:
        seen = play(params, key)

        def loss(params: Params) -> jax.Array:
            by_chunk = functools.partial(policy_loss, objective, params)
            return jax.vmap(by_chunk)(seen).mean() + critic_loss(params, seen)

        for _ in range(EPOCHS):
            slope = jax.grad(loss)(params)
            params = jax.tree.map(lambda leaf, by: leaf - rate * by, params, slope)
        return params, params

    @compilation.jit
    def train(params: Params, keys: jax.Array):
        return jax.lax.scan(update, params, keys)

    fresh = {"theta": jnp.zeros(2), "critic": jnp.zeros((CHUNKS, 4))}
    return train(fresh, jax.random.split(jax.random.key(0), UPDATES))


# Rewards count after both chunks, |theta/2 - T|^2 + |theta - T|^2, whose least is at
# 1.2 T. A chunk group only compares what its own chunk brings, theta/2 - T at first and
# theta - T from where that led: in balance at 4/3 T.
@pytest.mark.parametrize(
    "play, objective, rate, optimum",
    [
        pytest.param(trajectory_groups, GSPO, 0.1, 1.2, id="gspo"),
        pytest.param(trajectory_groups, GRPO, 0.1, 1.2, id="grpo"),
        pytest.param(with_critic, PPO, 0.1, 1.2, id="ppo"),
        pytest.param(with_critic, DPPO, 0.4, 1.2, id="dppo"),
        pytest.param(trajectory_groups, DPO, 0.1, 1.2, id="dpo"),
        pytest.param(clones, GSPO, 0.5, 4 / 3, id="gspo_chunk_groups"),
    ],
)
def test_the_optimum_is_found(
    play: Play, objective: Callable, rate: float, optimum: float
) -> None:
    _, history = trained(play, objective, rate)
    late = np.asarray(history["theta"])[UPDATES // 2 :].mean(axis=0)
    np.testing.assert_allclose(late, optimum * TARGET, atol=0.05)
