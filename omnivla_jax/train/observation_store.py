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

# observe(env_state) -> the agent's observation, in the policy's units
ObserveFn = Callable[[Any], Observation]


class ObservationStore(NamedTuple):
    """A pair of pure functions over batches of B decisions."""

    # (env_state, observation, prefix) -> what is stored, batch first
    save: Callable[[Any, Observation, PrefixCache], PyTree]
    # (params, what was stored, observe, config) -> the prefix under those parameters
    load_prefix: Callable[[PyTree, PyTree, ObserveFn, PolicyConfig], PrefixCache]


OBSERVATION_STORES: Mapping[str, ObservationStore] = {
    "cache": ObservationStore(
        save=lambda env, observation, prefix: prefix,
        load_prefix=lambda params, stored, observe, config: stored,
    ),
    "images": ObservationStore(
        save=lambda env, observation, prefix: observation,
        load_prefix=lambda params, stored, observe, config: policy.encode_prefix(
            params, stored, config=config
        ),
    ),
    "state": ObservationStore(
        save=lambda env, observation, prefix: env,
        load_prefix=lambda params, stored, observe, config: policy.encode_prefix(
            params, observe(stored), config=config
        ),
    ),
}


def nbytes(tree: PyTree) -> int:
    """The memory of a tree of arrays or shapes, in bytes."""
    leaves = jax.tree.leaves(tree)
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in leaves)
