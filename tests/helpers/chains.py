"""Recorded chains and a policy of one parameter that scores them, for tests.

Axes: S chunks, K denoising steps, H actions of a chunk, D action dimensions.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.flow import kl, log_prob
from omnivla_jax.flow.sde import Chain
from omnivla_jax.policy.heads.flow import swap_batch_axis
from omnivla_jax.train.agent import ActorOutput, Agent

K, H, D = 2, 3, 2


def chain(key, count):
    """S chains whose transitions were drawn around 0 with deviation .5; batch first."""
    noise = jax.random.normal(key, (count, K + 1, H, D))
    shape = (count, K)
    return Chain(
        states=0.5 * noise,
        means=jnp.zeros((count, K, H, D)),
        stds=jnp.full((count, K, 1, 1), 0.5),
        tau=jnp.broadcast_to(jnp.arange(K) / K, shape).astype(jnp.float32),
        delta=jnp.full(shape, 1 / K),
        stochastic=jnp.ones(shape, bool),
    )


def outputs(key, count, branches=1):
    """S decisions; what was observed is their number, and so is the critic's value."""
    number = jnp.arange(count, dtype=jnp.float32)
    trace = chain(key, count * branches)
    executed = jnp.ones((count * branches, H), bool)
    chunk = trace.states[:, -1]
    return ActorOutput(number, number[:, None], trace, number, executed, chunk)


def parameters():
    """The shift that `ShiftAgent` adds to every mean, and the critic's answer."""
    return {"action": {"shift": jnp.zeros((H, D))}, "value": {"bias": jnp.zeros(())}}


class ShiftAgent(Agent):
    """An agent of two parameters that scores `outputs`."""

    def __init__(self):
        pass

    def exact_kl(self, new, other):
        return kl.transition_kl(new, other)

    def log_prob(self, params, output):
        recorded = swap_batch_axis(output.trace)
        means = recorded.means + params["action"]["shift"]
        return log_prob.recorded_log_prob(recorded._replace(means=means))

    def behavior_log_prob(self, output):
        return log_prob.recorded_log_prob(swap_batch_axis(output.trace))

    def imitation_loss(self, params, output, key, is_shown):
        error = output.chunk - params["action"]["shift"]
        shown = is_shown[:, None, None]
        count = jnp.maximum(jnp.sum(is_shown), 1)
        return jnp.sum(jnp.where(shown, error**2, 0.0)) / (count * H * D)

    def value(self, params, output):
        return params["value"]["bias"] + 0.0 * output.observation_ref
