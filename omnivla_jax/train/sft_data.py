"""Demonstrations on the device: what stage II draws its batches from.

Axes: F frames of all demonstrations, N batch, V camera views, S image side, L tokens,
I instructions, H chunk length, D action dimensions.
"""

from typing import NamedTuple, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from omnivla_jax.core import action_chunks
from omnivla_jax.core.types import Demonstration, Observation, PyTree
from omnivla_jax.policy import normalize
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import action_head
from omnivla_jax.policy.heads.base import CODEC
from omnivla_jax.train import environment


class Dataset(NamedTuple):
    """All frames of demonstrations, in the policy's units."""

    images: jax.Array  # uint8 [F, V, S, S, 3]
    state: jax.Array  # float32 [F, proprio_dim], normalised, then padded with zeros
    chunk: jax.Array  # float32 [F, H, D], likewise
    instruction: jax.Array  # int32 [F], row of `tokens`
    tokens: jax.Array  # int32 [I, L]
    token_mask: jax.Array  # bool [I, L]
    loss_mask: jax.Array | None = None  # bool [F, H]; None: every action has a loss


def fit_normalizer(demonstrations: Sequence[Demonstration]) -> normalize.Normalizer:
    """Mean 0 and standard deviation 1 for states and actions of the demonstrations."""
    states = np.concatenate([d.state for d in demonstrations])
    actions = np.concatenate([d.action for d in demonstrations])
    return normalize.Normalizer(normalize.moments(states), normalize.moments(actions))


def make_dataset(
    demonstrations: Sequence[Demonstration],
    normalizer: normalize.Normalizer,
    *,
    config: PolicyConfig,
    padding: str = "hold",
) -> Dataset:
    """Put demonstrations on the device, one row a frame.

    Args:
      demonstrations: at least one.
      normalizer: of their states and actions, the latter relative to the state where
        `config.delta_mask` says so.
      config: of the policy.
      padding: the rule for the last chunks, one of `action_chunks.PADDINGS`.

    Returns:
      Every frame's observation and chunk, on the device.

    Raises:
      ValueError: states or actions are not the robot's that `config` describes, or
        `padding` leaves no frame.
    """
    check_dimensions(normalizer, config)
    texts, table = instruction_table(demonstrations, config)
    chunks, every_mask = action_chunks.of_demonstrations(
        [np.asarray(d.action) for d in demonstrations], config.horizon, padding
    )
    counts = [len(chunk) for chunk in chunks]
    masks = [mask for mask in every_mask if mask is not None]

    def frames(field: str) -> np.ndarray:
        arrays = [getattr(d, field) for d in demonstrations]
        return np.concatenate([np.asarray(a)[:n] for a, n in zip(arrays, counts)])

    states, actions_of = frames("state"), np.concatenate(chunks)
    actions_of = normalize.delta_actions(actions_of, states, config.delta_mask)
    state = normalize.normalize(normalizer.state, jnp.asarray(states))
    chunk = normalize.normalize(normalizer.action, jnp.asarray(actions_of))
    rows = [texts.index(d.instruction) for d in demonstrations]
    return Dataset(
        images=jnp.asarray(frames("images")),
        state=normalize.pad_dims(state, config.proprio_dim),
        chunk=normalize.pad_dims(chunk, config.action_dim),
        instruction=jnp.asarray(np.repeat(rows, counts), jnp.int32),
        tokens=table.tokens,
        token_mask=table.mask,
        loss_mask=jnp.concatenate(masks) if masks else None,
    )


def fit_codec(
    params: PyTree,
    demonstrations: Sequence[Demonstration],
    normalizer: normalize.Normalizer,
    *,
    config: PolicyConfig,
    padding: str = "hold",
) -> PyTree:
    """Fit the codec of the policy's head, where it has one.

    Args:
      params: of the policy.
      demonstrations, normalizer, padding: as of `make_dataset`.
      config: of the policy.

    Returns:
      The parameters with the codec.
    """
    fit = action_head(config).fit
    if fit is None:
        return params
    check_dimensions(normalizer, config)
    chunks, _ = action_chunks.of_demonstrations(
        [np.asarray(d.action) for d in demonstrations], config.horizon, padding
    )
    states = [np.asarray(d.state)[: len(c)] for d, c in zip(demonstrations, chunks)]
    absolute, state = np.concatenate(chunks), np.concatenate(states)
    relative = normalize.delta_actions(absolute, state, config.delta_mask)
    normalised = normalize.normalize(normalizer.action, jnp.asarray(relative))
    codec = fit(np.asarray(normalised), config=config)
    return {**params, "action": {**params["action"], CODEC: codec}}


def instruction_table(
    demonstrations: Sequence[Demonstration], config: PolicyConfig
) -> tuple[list[str], environment.Instructions]:
    """The different instructions of demonstrations in alphabetical order, tokenised."""
    texts = sorted({demonstration.instruction for demonstration in demonstrations})
    return texts, environment.instructions(texts, config)


def check_dimensions(normalizer: normalize.Normalizer, config: PolicyConfig) -> None:
    """Refuse units that are not the robot's of `config`.

    Args:
      normalizer: of the demonstrations.
      config: of the policy.

    Raises:
      ValueError: with both sizes.
    """
    sizes = len(normalizer.state.offset), len(normalizer.action.offset)
    expected = config.robot_proprio_dim, config.robot_action_dim
    if sizes != expected:
        raise ValueError(
            f"States and actions have {sizes} dimensions in the demonstrations, but "
            f"{expected} in the policy: set real_proprio_dim and real_action_dim, or "
            "proprio_dim and action_dim where nothing is padded."
        )


def draw_rows(key: jax.Array, frames: int, size: int) -> jax.Array:
    """Draw frames with replacement.

    Args:
      key: consumed.
      frames: F, to draw from.
      size: N, how many.

    Returns:
      int32 [N], rows of a `Dataset` of F frames.
    """
    return jax.random.randint(key, (size,), 0, frames)


def draw(
    key: jax.Array, dataset: Dataset, size: int
) -> tuple[Observation, jax.Array, jax.Array | None]:
    """Draw a batch with replacement.

    Args:
      key: consumed.
      dataset: F frames.
      size: N, how many.

    Returns:
      N observations, chunks float32 [N, H, D], and the mask of their losses bool
      [N, H]; None: every action has one.
    """
    frame = draw_rows(key, dataset.chunk.shape[0], size)
    row = dataset.instruction[frame]
    observation = Observation(
        images=dataset.images[frame],
        tokens=dataset.tokens[row],
        token_mask=dataset.token_mask[row],
        proprio=dataset.state[frame],
    )
    mask = None if dataset.loss_mask is None else dataset.loss_mask[frame]
    return observation, dataset.chunk[frame], mask
