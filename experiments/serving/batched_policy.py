"""Runs the observations of several clients as one compiled call of a policy.

Axes: B observations of a call, H actions of a chunk, D action dimensions.
"""

from typing import NamedTuple, Sequence

import jax
import numpy as np

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Observation
from omnivla_jax.policy.inference import Policy

ANY_PROMPT = "pick up the bowl"  # for compiling, where training left no instruction


class NoiseStream(NamedTuple):
    """What the noise of a chunk depends on, beside the server's seed.

    A request's actions depend on no other request and not on the batch.
    """

    number: int  # of the request on its connection
    checksum: int  # uint32, of the request


class BatchItem(NamedTuple):
    """One observation to sample a chunk for."""

    observation: Observation  # of `Policy.prepare`, a batch of one
    noise: NoiseStream


class BatchedPolicy:
    """A policy with one compiled program for each of a few batch sizes."""

    def __init__(self, policy: Policy, *, max_batch: int, seed: int) -> None:
        """Prepare; nothing is compiled before `compile`.

        Args:
          policy: what to sample from.
          max_batch: observations of the largest call.
          seed: of the noise.
        """
        self.policy = policy
        self.sizes = batch_sizes(max_batch)
        self._key = jax.random.key(seed)
        self._noise_keys = compilation.jit(noise_keys)

    def compile(self) -> None:
        """Run every batch size once, so that no request waits for a compilation."""
        config = self.policy.spec.config
        size = config.vision.image_size
        blank = {
            "images": np.zeros((config.views, size, size, 3), np.uint8),
            "state": np.zeros(config.robot_proprio_dim, np.float32),
            "prompt": next(iter(self.policy.spec.instructions), ANY_PROMPT),
        }
        item = BatchItem(self.policy.prepare(blank)[0], NoiseStream(0, 0))
        for size in self.sizes:
            self.sample([item] * size)

    def sample(self, items: Sequence[BatchItem]) -> list[np.ndarray]:
        """Chunks of actions float32 [H, D], one an item.

        The batch is filled up to the next compiled size with its first item.
        """
        size = next(size for size in self.sizes if size >= len(items))
        rows = [*items, *[items[0]] * (size - len(items))]
        observations = [item.observation for item in rows]
        batch = jax.tree.map(lambda *leaves: np.concatenate(leaves), *observations)
        streams = np.asarray([item.noise for item in rows], np.uint32)
        keys = self._noise_keys(self._key, streams[:, 0], streams[:, 1])
        return list(self.policy.sample(batch, keys)[: len(items)])


def batch_sizes(max_batch: int) -> tuple[int, ...]:
    """The powers of two below `max_batch`, and `max_batch`."""
    powers = [1 << bit for bit in range(max_batch.bit_length()) if 1 << bit < max_batch]
    return (*powers, max_batch)


def noise_keys(key: jax.Array, number: jax.Array, checksum: jax.Array) -> jax.Array:
    """Keys [B] of the streams (number uint32 [B], checksum uint32 [B]).

    Reads `key` without consuming it: as the server's own it is used here only.
    """
    streams = jax.vmap(jax.random.fold_in, (None, 0))(key, number)
    return jax.vmap(jax.random.fold_in)(streams, checksum)
