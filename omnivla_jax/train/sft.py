"""Stage II: conditional flow matching on demonstrations.

The batches are drawn from a dataset that lies on the device (`make_step`), or handed in
one after the other (`make_streamed_step`).

    loss = mean ||v(interpolate(noise, chunk, tau), tau | o) - (chunk - noise)||^2

Axes: K optimizer steps of a call, N batch, R (noise, tau) draws per observation,
H chunk length, D action dimensions.
"""

import dataclasses
from dataclasses import dataclass
from typing import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from omnivla_jax.core import compile as compilation
from omnivla_jax.core.types import FrameBatch, Observation, PyTree
from omnivla_jax.policy import lora, normalize, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import action_head
from omnivla_jax.train import environment, rng, sft_data, spatial_encoder_rate, state
from omnivla_jax.train.attention_metrics import attention_metrics
from omnivla_jax.train.sharding import SINGLE_DEVICE, MeshSharding
from omnivla_jax.train.state import OptimizerConfig, TrainState

Metrics = dict[str, jax.Array]


# (parameters with stage I's decoder, key) -> stage I's loss of fresh scenes
GeometryLoss = Callable[[PyTree, jax.Array], jax.Array]


@dataclass(frozen=True)
class SftConfig:
    """The settings of stage II.

    What stage I has taught may be kept: `spatial_encoder_rate` scales the learning rate
    of the spatial encoder, 0 freezes it; `geometry_weight` adds stage I's loss on
    `geometry_scenes` scenes drawn in every step. `attention_metrics` says once a call
    where the actions look (`attention_metrics`; the flow head alone).
    """

    optimizer: OptimizerConfig
    steps: int  # optimizer steps, a multiple of steps_per_call
    batch_size: int = 64  # observations
    draws: int = 4  # (noise, tau) pairs per observation: its prefix is encoded once
    steps_per_call: int = 10  # optimizer steps in one compiled call
    ema_decay: float = 0.0  # of the parameters' moving average; 0 keeps none
    trainable: str = "all"
    spatial_encoder_rate: float = 1.0
    geometry_weight: float = 0.0
    geometry_scenes: int = 16
    attention_metrics: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.spatial_encoder_rate <= 1 or self.geometry_weight < 0:
            raise ValueError(
                f"spatial_encoder_rate={self.spatial_encoder_rate} must lie in [0, 1] "
                f"and geometry_weight={self.geometry_weight} not below 0."
            )
        if self.steps % self.steps_per_call:
            raise ValueError(
                f"steps={self.steps} must be a multiple of "
                f"steps_per_call={self.steps_per_call}."
            )


def fresh_params(key: jax.Array, config: PolicyConfig) -> PyTree:
    """Random parameters, compiled in a hurry.

    Args:
      key: consumed.
      config: of the policy.

    Returns:
      The policy's parameters.
    """
    init = jax.jit(
        policy.init,
        static_argnames="config",
        compiler_options=compilation.NO_OPTIMIZATION,
    )
    return init(key, config=config)


def create(
    params: PyTree, normalizer: normalize.Normalizer, config: SftConfig, *, seed: int
) -> TrainState:
    """Stage II at step 0.

    Args:
      params: of the policy, without adapters.
      normalizer: of states and actions.
      config: of this stage.
      seed: of all its randomness.

    Returns:
      The training state.
    """
    key = rng.named_key(jnp.asarray(seed, jnp.uint32), "adapters")
    params = lora.add_adapters(params, key, trainable=config.trainable)
    trained = spatial_encoder_rate.trained_mask(
        lora.trainable_mask(params, config.trainable), config.spatial_encoder_rate
    )
    optimizer = state.make_optimizer(config.optimizer, trained)
    keep_ema = config.ema_decay > 0
    return state.create(params, normalizer, optimizer, seed=seed, keep_ema=keep_ema)


def make_step(
    policy_config: PolicyConfig,
    config: SftConfig,
    *,
    geometry_loss: GeometryLoss | None = None,
    mesh_sharding: MeshSharding = SINGLE_DEVICE,
) -> jax.stages.Wrapped:
    """Compiled `step(state, dataset) -> (state, metrics)`; the state is donated.

    One call makes `steps_per_call` optimizer steps; the metrics are their means. The
    randomness is a function of the state's seed and step.

    Args:
      policy_config: of the policy.
      config: of this stage.
      geometry_loss: where `config.geometry_weight` is not 0.
      mesh_sharding: on a mesh, splits the batch and the parameters; hand in a state
        that lies there already (`sharding.shardings`).

    Returns:
      The function, to be called or lowered.
    """

    def step(
        state: TrainState, dataset: sft_data.Dataset
    ) -> tuple[TrainState, Metrics]:
        def update(carry: TrainState, _: None) -> tuple[TrainState, Metrics]:
            batch_key, loss_key = _step_keys(carry.seed, carry.step)
            batch = mesh_sharding.constrain_batch(
                sft_data.draw(batch_key, dataset, config.batch_size)
            )
            return _update(carry, loss_key, batch, policy_config, config, geometry_loss)

        after, metrics = jax.lax.scan(update, state, length=config.steps_per_call)
        metrics = jax.tree.map(jnp.mean, metrics)
        if config.attention_metrics:
            batch_key, _ = _step_keys(after.seed, after.step)
            observation, *_ = sft_data.draw(batch_key, dataset, config.batch_size)
            metrics |= attention_metrics(after, observation, policy_config)
        return mesh_sharding.constrain_state(after), metrics

    return compilation.jit(
        mesh_sharding.with_mesh(step), fused=True, donate_argnames=("state",)
    )


def make_streamed_step(
    policy_config: PolicyConfig,
    config: SftConfig,
    table: environment.Instructions,
    *,
    geometry_loss: GeometryLoss | None = None,
    mesh_sharding: MeshSharding = SINGLE_DEVICE,
) -> jax.stages.Wrapped:
    """Compiled `step(state, batches) -> (state, metrics)`; the state is donated.

    `batches` is a `FrameBatch` with leaves [K, N, ...], a batch for each of the
    `steps_per_call` optimizer steps, in the robot's units: they are normalised here.
    On the same frames the loss is `make_step`'s.

    Args:
      policy_config: of the policy.
      config: of this stage; its `batch_size` is N.
      table: rows that `FrameBatch.instruction` counts.
      geometry_loss, mesh_sharding: as of `make_step`.

    Returns:
      The function, to be called or lowered.
    """

    def observe(frames: FrameBatch) -> Observation:
        return Observation(
            images=frames.images,
            tokens=table.tokens[frames.instruction],
            token_mask=table.mask[frames.instruction],
            proprio=frames.state,
        )

    def step(state: TrainState, batches: FrameBatch) -> tuple[TrainState, Metrics]:
        chex.assert_shape(
            batches.instruction, (config.steps_per_call, config.batch_size)
        )
        sft_data.check_dimensions(state.normalizer, policy_config)
        # Outside of the loop, as fused with what follows it rounds otherwise than the
        # dataset in memory.
        batches = _normalize_frames(batches, state.normalizer, policy_config)

        def update(carry: TrainState, frames: FrameBatch) -> tuple[TrainState, Metrics]:
            batch = mesh_sharding.constrain_batch(
                (observe(frames), frames.chunk, frames.loss_mask)
            )
            _, loss_key = _step_keys(carry.seed, carry.step)
            return _update(carry, loss_key, batch, policy_config, config, geometry_loss)

        after, metrics = jax.lax.scan(update, state, batches)
        metrics = jax.tree.map(jnp.mean, metrics)
        if config.attention_metrics:
            last = observe(jax.tree.map(lambda leaf: leaf[-1], batches))
            metrics |= attention_metrics(after, last, policy_config)
        return mesh_sharding.constrain_state(after), metrics

    return compilation.jit(
        mesh_sharding.with_mesh(step), fused=True, donate_argnames=("state",)
    )


def _normalize_frames(
    batches: FrameBatch, maps: normalize.Normalizer, config: PolicyConfig
) -> FrameBatch:
    robot_state = normalize.normalize(maps.state, batches.state)
    chunk = normalize.delta_actions(batches.chunk, batches.state, config.delta_mask)
    chunk = normalize.normalize(maps.action, chunk)
    return batches._replace(
        state=normalize.pad_dims(robot_state, config.proprio_dim),
        chunk=normalize.pad_dims(chunk, config.action_dim),
    )


def drawn_rows(seed: int, config: SftConfig, frames: int) -> np.ndarray:
    """The frames that `make_step` draws from a dataset, for a stream to hand in.

    Args:
      seed: of the training state.
      config: of this stage.
      frames: F, of the dataset.

    Returns:
      int32 [steps * N], rows of the dataset, batch after batch.
    """
    on_device = jnp.asarray(seed, jnp.uint32)

    def draw(step: jax.Array) -> jax.Array:
        key, _ = _step_keys(on_device, step)
        return sft_data.draw_rows(key, frames, config.batch_size)

    return np.asarray(jax.lax.map(draw, jnp.arange(config.steps))).reshape(-1)


def loss(
    params: PyTree,
    key: jax.Array,
    observation: Observation,
    chunk: jax.Array,
    *,
    draws: int,
    config: PolicyConfig,
    loss_mask: jax.Array | None = None,
) -> jax.Array:
    """The action head's supervised loss of a batch.

    Args:
      params: of the policy.
      key: of the noise and the flow times; consumed.
      observation: N observations, `proprio` normalised.
      chunk: float32 [N, H, D], normalised and padded.
      draws: R, pairs of noise and tau for each observation.
      config: of the policy.
      loss_mask: bool [N, H], at least one True: the actions that the mean is over;
        None: all.

    Returns:
      float32 [].
    """
    chex.assert_shape(chunk, (None, config.horizon, config.action_dim))
    cache = policy.encode_prefix(params, observation, config=config)
    return action_head(config).sft_loss(
        params,
        cache,
        observation.proprio,
        chunk,
        key,
        config=config,
        draws=draws,
        loss_mask=loss_mask,
    )


def _step_keys(seed: jax.Array, step: jax.Array) -> jax.Array:
    """Two keys of an optimizer step: for drawing the batch, and for the loss."""
    stream = rng.named_key(seed, "action")
    return jax.random.split(jax.random.fold_in(stream, step))


def _update(
    before: TrainState,
    key: jax.Array,
    batch: tuple[Observation, jax.Array, jax.Array | None],
    policy_config: PolicyConfig,
    config: SftConfig,
    geometry_loss: GeometryLoss | None,
) -> tuple[TrainState, Metrics]:
    """One optimizer step on a batch; consumes `key`."""
    observation, chunk, mask = batch

    def merged_loss(params: PyTree) -> tuple[jax.Array, Metrics]:
        merged = lora.merge(params)
        value = loss(
            merged,
            key,
            observation,
            chunk,
            draws=config.draws,
            config=policy_config,
            loss_mask=mask,
        )
        if geometry_loss is None:
            return value, {"loss": value}
        geometry = geometry_loss(merged, jax.random.fold_in(key, 1))
        total = value + config.geometry_weight * geometry
        return total, {"loss": value, "geometry_loss": geometry}

    gradient, metrics = jax.grad(merged_loss, has_aux=True)(before.params)
    trained = spatial_encoder_rate.trained_mask(
        lora.trainable_mask(before.params, config.trainable),
        config.spatial_encoder_rate,
    )
    optimizer = state.make_optimizer(config.optimizer, trained)
    updates, opt_state = optimizer.update(gradient, before.opt_state, before.params)
    updates = spatial_encoder_rate.scale(updates, config.spatial_encoder_rate)
    params = state.apply(before.params, updates, trained)
    ema_params = before.ema_params
    if ema_params is not None:
        ema_params = lora.update_ema(
            ema_params, params, step=before.step, limit=config.ema_decay
        )
    after = dataclasses.replace(
        before,
        step=before.step + 1,
        params=params,
        ema_params=ema_params,
        opt_state=opt_state,
    )
    return after, {**metrics, "grad_norm": optax.tree.norm(gradient)}
