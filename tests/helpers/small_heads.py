"""What tests of action heads share: a debug policy and its encoded prefix.

Axes: B batch, H chunk length, D action dimensions.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from omnivla_jax.core import compile as compilation
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import PolicyConfig, preset
from omnivla_jax.policy.heads import action_head
from tests.helpers.debug_inputs import observation, random_params

KEY = jax.random.key(0)


def small(head: str, **changes: Any) -> PolicyConfig:
    """The debug policy with this head: 2 actions of 3 numbers, 4 dimensions."""
    base = preset("debug").without_spatial()
    sizes: dict[str, Any] = {
        "horizon": 2,
        "action_dim": 4,
        "real_action_dim": 3,
        "action_bins": 5,
    }
    return dataclasses.replace(base, head=head, **sizes | changes)


class Encoded:
    """A head on two random observations, its functions with all but keys bound."""

    def __init__(self, config: PolicyConfig, sampler: Any) -> None:
        inputs = jax.tree.map(lambda leaf: leaf[:2], observation())
        self.config, self.sampler = config, sampler
        self.params = random_params(config)
        fresh = jax.jit(functools.partial(policy.init, config=config))(KEY)
        if "codec" in fresh["action"]:
            self.params["action"]["codec"] = fresh["action"]["codec"]
        encode = functools.partial(policy.encode_prefix, config=config)
        self.cache = compilation.jit(encode)(self.params, inputs)
        self.proprio = inputs.proprio
        head = action_head(config)
        self.explore = compilation.jit(self._bound(head.explore, sampler=sampler))
        self._score = self._bound(head.score, sampler=sampler, executed_mask=None)
        self.score = compilation.jit(self._score)
        self.act = compilation.jit(self._bound(head.act, steps=3))
        self._sft_loss = self._bound(head.sft_loss, draws=2)
        self.score_recorded = functools.partial(
            head.score_recorded, config=config, sampler=sampler, executed_mask=None
        )

    def _bound(self, function: Any, **named: Any) -> Any:
        return lambda params, *arguments: function(
            params, self.cache, self.proprio, *arguments, config=self.config, **named
        )

    def trained(self, chunk: jax.Array, *, steps: int, rate: float) -> tuple[Any, Any]:
        """Parameters whose action expert learned chunks [B, H, D], and the losses."""

        @compilation.jit
        def train(action):
            def step(action, key):
                def loss(action):
                    whole = self.params | {"action": action}
                    return self._sft_loss(whole, chunk, key)

                value, slope = jax.value_and_grad(loss)(action)
                codec = action.get("codec")
                action = jax.tree.map(lambda p, g: p - rate * g, action, slope)
                return action if codec is None else action | {"codec": codec}, value

            return jax.lax.scan(step, action, jax.random.split(KEY, steps))

        action, losses = train(self.params["action"])
        return self.params | {"action": action}, losses

    def slope_and_difference(self, trace: Any, *, step: float = 1e-2) -> Any:
        """The derivative of sum log p along a random direction, and by differences."""
        rng = jax.random.split(KEY, len(jax.tree.leaves(self.params["action"])))
        leaves, tree = jax.tree.flatten(self.params["action"])
        direction = jax.tree.unflatten(
            tree, [jax.random.normal(k, p.shape) / 20 for k, p in zip(rng, leaves)]
        )
        if "codec" in direction:
            direction["codec"] = jax.tree.map(jnp.zeros_like, direction["codec"])

        def total(t):
            moved = jax.tree.map(
                lambda p, d: p + t * d, self.params["action"], direction
            )
            return self._score(self.params | {"action": moved}, trace).log_prob.sum()

        slope = compilation.jit(jax.value_and_grad(total))
        (above, _), (below, _), (_, found) = map(slope, (step, -step, 0.0))
        return found, (above - below) / (2 * step)
