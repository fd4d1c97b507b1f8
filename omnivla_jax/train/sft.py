"""Stage II: conditional flow matching on demonstrations that live on the device.

    loss = mean ||v(interpolate(noise, chunk, tau), tau | o) - (chunk - noise)||^2

Axes: F frames of all demonstrations, N batch, R (noise, tau) draws per observation,
V camera views, S image side, L tokens, I instructions, H chunk length, D action dims.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple, Sequence

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import Demonstration, Observation, PyTree
from omnivla_jax.policy import lora, normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import action_head
from omnivla_jax.train import environment, rng, state
from omnivla_jax.train.sharding import MeshSharding, single_device
from omnivla_jax.train.state import OptimizerConfig, TrainState

GRIPPER = -1  # the last action dimension is a command, not a motion

Metrics = dict[str, jax.Array]


class Dataset(NamedTuple):
    """Demonstrations, frame by frame, in the policy's units."""

    images: jax.Array  # uint8 [F, V, S, S, 3]
    state: jax.Array  # float32 [F, state_dim], normalised, then padded with zeros
    chunk: jax.Array  # float32 [F, H, D], likewise
    instruction: jax.Array  # int32 [F], row of `tokens`
    tokens: jax.Array  # int32 [I, L]
    token_mask: jax.Array  # bool [I, L]


@dataclass(frozen=True)
class SftConfig:
    """How long and on what stage II trains."""

    optimizer: OptimizerConfig
    steps: int  # optimizer steps, a multiple of steps_per_call
    batch_size: int = 64  # observations
    draws: int = 4  # (noise, tau) pairs per observation: its prefix is encoded once
    steps_per_call: int = 10  # optimizer steps in one compiled call
    average_decay: float = 0.0  # of the parameters' moving average; 0 keeps none
    scope: str = "all"

    def __post_init__(self) -> None:
        if self.steps % self.steps_per_call:
            raise ValueError(
                f"steps={self.steps} must be a multiple of "
                f"steps_per_call={self.steps_per_call}."
            )


def fit_normalizer(episodes: Sequence[Demonstration]) -> normalize.Normalizer:
    """Mean 0 and standard deviation 1 for states and actions of the demonstrations."""
    return normalize.Normalizer(
        state=normalize.moments(np.concatenate([e.state for e in episodes])),
        action=normalize.moments(np.concatenate([e.action for e in episodes])),
    )


def make_dataset(
    episodes: Sequence[Demonstration],
    normalizer: normalize.Normalizer,
    *,
    config: PolicyConfig,
) -> Dataset:
    """Put demonstrations on the device, one row a frame.

    Raises ValueError if states or actions are not the robot's that `config` describes.
    """
    _check_dimensions(normalizer, config)
    texts = sorted({episode.instruction for episode in episodes})
    table = environment.instructions(texts, config)
    chunks = [chunk_targets(np.asarray(e.action), config.horizon) for e in episodes]
    rows = [np.full(len(e.action), texts.index(e.instruction)) for e in episodes]
    state = normalize.normalize(
        normalizer.state, jnp.asarray(np.concatenate([e.state for e in episodes]))
    )
    chunk = normalize.normalize(normalizer.action, jnp.asarray(np.concatenate(chunks)))
    return Dataset(
        images=jnp.asarray(np.concatenate([e.images for e in episodes])),
        state=normalize.pad_dims(state, config.state_dim),
        chunk=normalize.pad_dims(chunk, config.action_dim),
        instruction=jnp.asarray(np.concatenate(rows), jnp.int32),
        tokens=table.tokens,
        token_mask=table.mask,
    )


def chunk_targets(actions: np.ndarray, horizon: int) -> np.ndarray:
    """The next `horizon` actions of every frame: [T, D] -> float32 [T, H, D].

    Beyond the end the arm stands still and the gripper keeps its last command.
    """
    rest = np.zeros_like(actions[-1:])
    rest[:, GRIPPER] = actions[-1, GRIPPER]
    padded = np.concatenate([actions, np.repeat(rest, horizon - 1, axis=0)])
    windows = np.arange(len(actions))[:, None] + np.arange(horizon)
    return padded[windows].astype(np.float32)


def fresh_params(key: jax.Array, config: PolicyConfig) -> PyTree:
    """Random parameters, compiled in a hurry; `key` is consumed."""
    init = jax.jit(
        policy.init,
        static_argnames="config",
        compiler_options=compilation.NO_OPTIMIZATION,
    )
    return init(key, config=config)


def create(
    params: PyTree, normalizer: normalize.Normalizer, config: SftConfig, *, seed: int
) -> TrainState:
    """Stage II at step 0, from `params`."""
    key = rng.named_key(jnp.asarray(seed, jnp.uint32), "adapters")
    params = lora.add_adapters(params, key, scope=config.scope)
    optimizer = _optimizer(params, config)
    averaged = config.average_decay > 0
    return state.create(params, normalizer, optimizer, seed=seed, averaged=averaged)


def make_step(
    policy_config: PolicyConfig,
    config: SftConfig,
    *,
    placement: MeshSharding = single_device(),
) -> jax.stages.Wrapped:
    """Compiled `step(state, dataset) -> (state, metrics)`; the state is donated.

    One call makes `steps_per_call` optimizer steps; the metrics are their means. The
    randomness is a function of the state's seed and step. On a mesh, `placement` splits
    the batch and the parameters; hand in a state that lies there already
    (`placement.shardings`).
    """

    def step(state: TrainState, dataset: Dataset) -> tuple[TrainState, Metrics]:
        def one(carry: TrainState, _: None) -> tuple[TrainState, Metrics]:
            return _update(carry, dataset, policy_config, config, placement)

        after, metrics = jax.lax.scan(one, state, length=config.steps_per_call)
        return placement.state(after), jax.tree.map(jnp.mean, metrics)

    return compilation.jit(step, fused=True, donate_argnames=("state",))


def loss(
    params: PyTree,
    key: jax.Array,
    observation: Observation,
    chunk: jax.Array,
    *,
    draws: int,
    config: PolicyConfig,
) -> jax.Array:
    """The action head's supervised loss of a batch, float32 []; consumes `key`.

    Args:
      params: of the policy.
      observation: N observations, `state` normalised.
      chunk: float32 [N, H, D], normalised and padded.
      draws: R, pairs of noise and tau for each observation.
    """
    chex.assert_shape(chunk, (None, config.horizon, config.action_dim))
    cache = policy.encode_prefix(params, observation, config=config)
    return action_head(config).sft_loss(
        params, cache, observation.state, chunk, key, config=config, draws=draws
    )


def _check_dimensions(normalizer: normalize.Normalizer, config: PolicyConfig) -> None:
    found = len(normalizer.state.offset), len(normalizer.action.offset)
    expected = config.robot_state_dim, config.robot_action_dim
    if found != expected:
        raise ValueError(
            f"States and actions have {found} dimensions in the demonstrations, but "
            f"{expected} in the policy: set real_state_dim and real_action_dim, or "
            "state_dim and action_dim where nothing is padded."
        )


def _update(
    before: TrainState,
    dataset: Dataset,
    policy_config: PolicyConfig,
    config: SftConfig,
    placement: MeshSharding,
) -> tuple[TrainState, Metrics]:
    """One optimizer step on a batch drawn by the step's own key."""
    stream = rng.named_key(before.seed, "action")
    key = jax.random.fold_in(stream, before.step)
    batch_key, loss_key = jax.random.split(key)
    batch = _draw(batch_key, dataset, config.batch_size)
    observation, chunk = placement.batch(batch)
    value, gradient = jax.value_and_grad(_merged_loss)(
        before.params,
        loss_key,
        observation,
        chunk,
        draws=config.draws,
        config=policy_config,
    )
    optimizer = _optimizer(before.params, config)
    updates, opt_state = optimizer.update(gradient, before.opt_state, before.params)
    trained = lora.trainable_mask(before.params, config.scope)
    params = state.apply(before.params, updates, trained)
    after = dataclasses.replace(
        before,
        step=before.step + 1,
        params=params,
        average=_average(before, params, config.average_decay),
        opt_state=opt_state,
    )
    return after, {"loss": value, "grad_norm": optax.tree.norm(gradient)}


def _merged_loss(params: PyTree, *batch: Any, **named: Any) -> jax.Array:
    """The loss of the parameters with their adapters, if they have any."""
    return loss(lora.merge(params), *batch, **named)


def _draw(key: jax.Array, dataset: Dataset, size: int) -> tuple[Observation, jax.Array]:
    """`size` frames with replacement; consumes `key`."""
    frame = jax.random.randint(key, (size,), 0, dataset.chunk.shape[0])
    row = dataset.instruction[frame]
    observation = Observation(
        images=dataset.images[frame],
        tokens=dataset.tokens[row],
        token_mask=dataset.token_mask[row],
        state=dataset.state[frame],
    )
    return observation, dataset.chunk[frame]


def _average(before: TrainState, params: PyTree, limit: float) -> PyTree:
    """The moving average after one more step; None stays None."""
    if before.average is None:
        return None
    return lora.average(before.average, params, step=before.step, limit=limit)


def _optimizer(params: PyTree, config: SftConfig) -> optax.GradientTransformation:
    trained = lora.trainable_mask(params, config.scope)
    return state.make_optimizer(config.optimizer, trained)
