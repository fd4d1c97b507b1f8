"""The records that packages exchange: observations, time steps and rollout transitions.

Axes: B environments, V camera views, S image side, L language tokens,
H actions of a chunk, D action dimensions, T chunks of an episode, K denoising steps.
"""

from typing import Any, NamedTuple, TypeAlias

import jax

PyTree: TypeAlias = Any
ActionChunk: TypeAlias = jax.Array  # float32 [B, H, D]


class Observation(NamedTuple):
    """What a policy sees: pictures, an instruction and the robot's own state."""

    images: jax.Array  # uint8 [B, V, S, S, 3]: agent view, wrist view; upright
    tokens: jax.Array  # int32 [B, L]
    token_mask: jax.Array  # bool [B, L]: False on padding
    proprio: jax.Array  # float32 [B, 8]: eef position, axis-angle, finger positions


class TimeStep(NamedTuple):
    """The outcome of one control step; termination and truncation kept apart."""

    reward: jax.Array  # float32 [B]: 1 on the step that first reaches the goal
    terminated: jax.Array  # bool [B]: the goal holds, or held before
    truncated: jax.Array  # bool [B]: out of time, or the physics diverged


class Score(NamedTuple):
    """The likelihood of recorded chunks under one policy.

    Without denoising steps, as in a regression head, K is 1.
    """

    log_prob: jax.Array  # float32 [B]: summed over the steps and entries that count
    step_log_prob: jax.Array  # float32 [K, B]: the same, step by step
    has_density: jax.Array  # bool [K, B]: False on deterministic steps
    distribution: PyTree  # of the action head's own kind; only its divergence reads it


class Transition(NamedTuple):
    """One chunk of one environment, as a rollout records it."""

    extras: PyTree  # of `act_fn`: what scoring the chunk again needs
    action: PyTree  # float32 [B, H, D]: the simulator actions of the chunk
    reward: jax.Array  # float32 [B]: summed over the executed part of the chunk
    mask: jax.Array  # float32 [B, H]: 1 on actions of an episode that was running


class Demonstration(NamedTuple):
    """A demonstrated episode of T steps; step t holds the observation before action t.

    The sizes are LIBERO's; datasets of other robots have their own V, state and action.
    Where it comes from a file, `images` may be decoded on access: an object with
    `shape`, `images[t]` and `np.asarray(images)`.
    """

    images: Any  # uint8 [T, V, S, S, 3], upright
    state: Any  # float32 [T, 8]
    joint_state: Any  # float32 [T, 7]; NaN where a dataset does not hold it
    action: Any  # float32 [T, 7]: simulator actions in [-1, 1], -1 open, +1 close
    instruction: str
    task: int  # row of the suite; -1 where a dataset does not number its tasks
    # float64 [T, 1 + nq + nv], before each action: time, then joints in LIBERO's order;
    # None where they were not kept.
    simulator_state: Any = None


class FrameBatch(NamedTuple):
    """N frames of demonstrations with the actions that follow, in the robot's units."""

    images: Any  # uint8 [N, V, S, S, 3], upright
    state: Any  # float32 [N, 8]
    chunk: Any  # float32 [N, H, 7]
    instruction: Any  # int32 [N], row of a table of instructions
    loss_mask: Any  # bool [N, H]: False on actions without a loss; None: all have one


class Geometry(NamedTuple):
    """What camera views show, in the frame of each camera: x right, y down, z forward.

    True geometry is in metres and its common frame is the world's; a predicted one has
    a scale and a common frame of its own.
    """

    points: Any  # float32 [B, V, 3, S, S]
    normals: Any  # float32 [B, V, 3, S, S], of unit length
    rotation: Any  # float32 [B, V, 3, 3]: from the camera's frame to the common
    translation: Any  # float32 [B, V, 3]: the camera's place in the common frame


class GeometryBatch(NamedTuple):
    """Observations of scenes with the true geometry of every pixel."""

    observation: Observation
    geometry: Geometry
    valid: jax.Array  # bool [B, V, S, S]: False where nothing is hit
