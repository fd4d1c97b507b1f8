"""The step of stage I: draw scenes, render them, predict their geometry, learn.

    scenes -> pictures -> reasoning and spatial experts -> decoder -> loss

Nothing is at rest: every step draws its own scenes. The action expert is frozen, and
the decoder, which lies beside the experts in the parameter tree, is dropped after the
stage, as `lora.acting_params` leaves it out.

Axes: K optimizer steps of a call, B scenes, V camera views, S image side.
"""

import dataclasses
import functools
from typing import Callable

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.traverse_util import flatten_dict, unflatten_dict

from omnivla_jax.core import compile as compilation
from omnivla_jax.core import precision
from omnivla_jax.core.types import Geometry, GeometryBatch, Observation, PyTree
from omnivla_jax.models.encoders.spatial_decoder import SpatialDecoder
from omnivla_jax.policy import lora
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.normalize import Normalizer
from omnivla_jax.policy.prefix import encode_prefix_hidden
from omnivla_jax.train import rng, state
from omnivla_jax.train.sharding import SINGLE_DEVICE, MeshSharding
from omnivla_jax.train.spatial import alignment, losses, metrics
from omnivla_jax.train.spatial.alignment import AlignedGeometry
from omnivla_jax.train.spatial.config import SpatialConfig, decoder_config
from omnivla_jax.train.state import TrainState

DECODER = "spatial_decoder"  # its entry in the parameter tree
# (keys [B]) -> B scenes: any simulator that renders depth and normals
DrawScenes = Callable[[jax.Array], GeometryBatch]
Metrics = dict[str, jax.Array]


def create(
    params: PyTree,
    normalizer: Normalizer | None,
    config: SpatialConfig,
    policy_config: PolicyConfig,
    *,
    seed: int | jax.Array,
) -> TrainState:
    """Stage I at step 0.

    Args:
      params: of the policy.
      normalizer: of states and actions, kept for later stages; None: none is known.
      config: of this stage.
      policy_config: of the policy, with a spatial expert.
      seed: of all its randomness.

    Returns:
      The state, with a fresh decoder.
    """
    params = with_decoder(params, config, policy_config, seed=seed)
    optimizer = state.make_optimizer(config.optimizer, trained_mask(params, config))
    return state.create(params, normalizer, optimizer, seed=seed)


def with_decoder(
    params: PyTree,
    config: SpatialConfig,
    policy_config: PolicyConfig,
    *,
    seed: int | jax.Array,
) -> PyTree:
    """The parameters of a policy, with a fresh decoder beside them.

    Args:
      params: of the policy.
      config: of stage I.
      policy_config: of the policy, with a spatial expert.
      seed: of the run.

    Returns:
      The tree of `params` with one more entry.
    """
    key = rng.named_key(jnp.asarray(seed, jnp.uint32), "spatial")
    decoder = SpatialDecoder(decoder_config(config, policy_config))
    expert = policy_config.mot.spatial
    assert expert is not None  # `decoder_config` refuses a policy without one
    hidden = jnp.zeros((1, policy_config.spatial_tokens, expert.width))
    side = policy_config.vision.image_size
    images = jnp.zeros((1, policy_config.views, side, side, 3))
    fresh = nn.unbox(decoder.init(key, hidden, images))["params"]
    return {**params, DECODER: fresh}


def trained_mask(params: PyTree, config: SpatialConfig) -> PyTree:
    """A tree of bools: all but the action expert, and the aggregator where frozen."""

    def trains(path: tuple[str, ...]) -> bool:
        frozen = path[:3] == ("spatial", "encoder", "aggregator")
        return path[0] != "action" and not (config.frozen_encoder and frozen)

    return unflatten_dict({path: trains(path) for path in flatten_dict(params)})


def predict(
    params: PyTree,
    observation: Observation,
    *,
    config: SpatialConfig,
    policy_config: PolicyConfig,
) -> tuple[Geometry, jax.Array]:
    """The decoded geometry of observations, and its confidence.

    Args:
      params: with the decoder.
      observation: of B scenes; `proprio` is not read.
      config: of stage I.
      policy_config: of the policy.

    Returns:
      Leaves [B, V, ...], and logits float32 [B, V, S, S].
    """
    hidden, _ = encode_prefix_hidden(
        lora.acting_params(params), observation, config=policy_config
    )
    decoder = SpatialDecoder(decoder_config(config, policy_config))
    images = precision.to_float32(observation.images / 127.5 - 1.0)
    return decoder.apply({"params": params[DECODER]}, hidden["spatial"], images)


def scene_loss(
    params: PyTree,
    batch: GeometryBatch,
    *,
    config: SpatialConfig,
    policy_config: PolicyConfig,
) -> tuple[jax.Array, Metrics]:
    """The loss of scenes, and its terms by name.

    Args:
      params: with the decoder.
      batch: B scenes.
      config: of stage I.
      policy_config: of the policy.

    Returns:
      float32 [] each.
    """
    predicted, confidence = predict(
        params, batch.observation, config=config, policy_config=policy_config
    )
    return losses.loss(
        predicted, confidence, batch.geometry, batch.valid, weights=config.weights
    )


def make_loss(
    draw_scenes: DrawScenes,
    config: SpatialConfig,
    policy_config: PolicyConfig,
    *,
    scenes: int,
) -> Callable[[PyTree, jax.Array], jax.Array]:
    """Stage I's loss of fresh scenes, which later stages may keep.

    Args:
      draw_scenes: the simulator.
      config: of stage I.
      policy_config: of the policy.
      scenes: B, drawn in every call.

    Returns:
      (params with the decoder, key, consumed) -> float32 [].
    """

    def loss(params: PyTree, key: jax.Array) -> jax.Array:
        batch = draw_scenes(jax.random.split(key, scenes))
        total, _ = scene_loss(params, batch, config=config, policy_config=policy_config)
        return total

    return loss


def make_step(
    draw_scenes: DrawScenes,
    config: SpatialConfig,
    policy_config: PolicyConfig,
    *,
    supports_fusion: bool = True,
    mesh_sharding: MeshSharding = SINGLE_DEVICE,
) -> jax.stages.Wrapped:
    """Compiled `step(state) -> (state, metrics)`; the state is donated.

    One call makes `steps_per_call` optimizer steps; the metrics are their means. The
    randomness is a function of the state's seed and step.

    Args:
      draw_scenes: the simulator.
      config: of this stage.
      policy_config: of the policy.
      supports_fusion: whether XLA may fuse the simulator's program on a CPU.
      mesh_sharding: on a mesh, splits the scenes and the parameters.

    Returns:
      The function, to be called or lowered.
    """

    def update(before: TrainState, _: None) -> tuple[TrainState, Metrics]:
        stream = rng.named_key(before.seed, "scenes")
        step_key = jax.random.fold_in(stream, before.step)
        keys = jax.random.split(step_key, config.batch_size)
        draw = mesh_sharding.shard_map_batch(draw_scenes)
        batch = mesh_sharding.constrain_batch(draw(keys))
        return _update(before, batch, config, policy_config)

    def step(state: TrainState) -> tuple[TrainState, Metrics]:
        after, metrics = jax.lax.scan(update, state, length=config.steps_per_call)
        return mesh_sharding.constrain_state(after), jax.tree.map(jnp.mean, metrics)

    return compilation.jit(
        mesh_sharding.with_mesh(step), fused=supports_fusion, donate_argnames=("state",)
    )


def make_evaluate(
    config: SpatialConfig, policy_config: PolicyConfig
) -> Callable[[PyTree, GeometryBatch], tuple[dict[str, jax.Array], AlignedGeometry]]:
    """Compile the judgement of scenes.

    Args:
      config: of stage I.
      policy_config: of the policy.

    Returns:
      (params, batch) -> the errors [B] of each scene by name, and prediction and truth
      in the same units.
    """

    def evaluate(
        params: PyTree, batch: GeometryBatch
    ) -> tuple[dict[str, jax.Array], AlignedGeometry]:
        predicted, _ = predict(
            params, batch.observation, config=config, policy_config=policy_config
        )
        aligned = alignment.align(predicted, batch.geometry, batch.valid)
        return metrics.accuracy(aligned, batch.valid), aligned

    return compilation.jit(evaluate, fused=True)


def _update(
    before: TrainState,
    batch: GeometryBatch,
    config: SpatialConfig,
    policy_config: PolicyConfig,
) -> tuple[TrainState, Metrics]:
    """One optimizer step on a batch of scenes."""

    loss = functools.partial(scene_loss, config=config, policy_config=policy_config)
    (total, terms), gradient = jax.value_and_grad(loss, has_aux=True)(
        before.params, batch
    )
    trained = trained_mask(before.params, config)
    optimizer = state.make_optimizer(config.optimizer, trained)
    updates, opt_state = optimizer.update(gradient, before.opt_state, before.params)
    after = dataclasses.replace(
        before,
        step=before.step + 1,
        params=state.apply(before.params, updates, trained),
        opt_state=opt_state,
    )
    return after, {
        "loss": total,
        "grad_norm": optax.tree.norm(gradient),
        **{f"{name}_loss": value for name, value in terms.items()},
    }
