"""Recorded chains and a policy of one parameter that scores them, for tests.

Axes: S chunks, K denoising steps, H actions of a chunk, D action dimensions.
"""

import jax
import jax.numpy as jnp

from omnivla_jax.flow import log_prob
from omnivla_jax.flow.sde import Chain
from omnivla_jax.train import actor
from omnivla_jax.train.online import update

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


def decisions(key, count, branches=1):
    """S decisions; what was seen is their number, and so is the critic's value."""
    own = jnp.arange(count, dtype=jnp.float32)
    return actor.ActorOutput(own, own[:, None], chain(key, count * branches), own)


def parameters():
    """The shift that `models` give to every mean, and the critic's answer."""
    return {"action": {"shift": jnp.zeros((H, D))}, "value": {"bias": jnp.zeros(())}}


def _score(params, decision):
    turned = actor.turned(decision.chain)
    means = turned.means + params["action"]["shift"]
    return log_prob.recorded_log_prob(turned._replace(means=means))


def _recorded(decision):
    return log_prob.recorded_log_prob(actor.turned(decision.chain))


def _value(params, decision):
    return params["value"]["bias"] + 0.0 * decision.seen


def models():
    """What `parameters` say of `decisions`."""
    return update.PolicyFns(_score, _recorded, _value)
