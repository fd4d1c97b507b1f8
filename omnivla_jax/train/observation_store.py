"""What a rollout keeps of each decision's input, and how the learner gets it back.

    cache    the encoded prefix: nothing is encoded twice; only where no expert that
             encodes it is trained
    images   the observation, pictures as uint8: encoded again
    state    the simulator's state, a few kB: drawn again, then encoded again

Axes: B decisions.
"""

import math
from typing import Any, Callable, Mapping, NamedTuple

import jax

from omnivla_jax.core.types import Observation, PyTree
from omnivla_jax.policy import policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.policy import PrefixCache

# look(env) -> what its agent sees, in the policy's units
Look = Callable[[Any], Observation]


class ObservationStore(NamedTuple):
    """A pair of pure functions over batches of B decisions."""

    # (simulator state, observation, prefix) -> what is stored, batch first
    keep: Callable[[Any, Observation, PrefixCache], PyTree]
    # (params, what was stored) -> the prefix under those parameters
    recall: Callable[[PyTree, PyTree], PrefixCache]


def cache(look: Look, config: PolicyConfig) -> ObservationStore:
    """Keep the encoded prefix."""
    del look, config
    return ObservationStore(
        lambda env, seen, prefix: prefix, lambda params, prefix: prefix
    )


def images(look: Look, config: PolicyConfig) -> ObservationStore:
    """Keep the observation."""
    del look

    def recall(params: PyTree, seen: Observation) -> PrefixCache:
        return policy.encode_prefix(params, seen, config=config)

    return ObservationStore(lambda env, seen, prefix: seen, recall)


def state(look: Look, config: PolicyConfig) -> ObservationStore:
    """Keep the simulator's state."""

    def recall(params: PyTree, env: Any) -> PrefixCache:
        return policy.encode_prefix(params, look(env), config=config)

    return ObservationStore(lambda env, seen, prefix: env, recall)


OBSERVATION_STORES: Mapping[str, Callable[[Look, PolicyConfig], ObservationStore]] = {
    "cache": cache,
    "images": images,
    "state": state,
}


def nbytes(tree: PyTree) -> int:
    """The memory of a tree of arrays or shapes, in bytes."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
