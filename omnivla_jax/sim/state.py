"""The state of a batch of environments: a value that can be copied, cut and saved.

Axes: B environments, N bodies, F bodies whose pose is data (fixtures, robot base,
camera, tables), P watched contact pairs.
"""

import jax
from flax import struct


@struct.dataclass
class PhysicsState:
    """What an engine takes and gives back; everything a control step changes."""

    qpos: jax.Array  # float32 [B, nq]
    qvel: jax.Array  # float32 [B, nv]
    warmstart: jax.Array  # float32 [B, nv]: the solver's last acceleration
    fixture_pos: jax.Array  # float32 [B, F, 3]
    fixture_quat: jax.Array  # float32 [B, F, 4] wxyz
    goal_pos: jax.Array  # float32 [B, 3]: the controller's goal
    goal_mat: jax.Array  # float32 [B, 3, 3]
    gripper: jax.Array  # float32 [B]: commanded closing, -1 open to 1 closed
    fresh: jax.Array  # bool [B]: no control step since reset or restore
    xpos: jax.Array  # float32 [B, N, 3]: body origins, one substep behind qpos
    xquat: jax.Array  # float32 [B, N, 4] wxyz
    touching: jax.Array  # bool [B, P]
    # int32 [B]: contacts without room in MJX, or how often C MuJoCo had no memory for
    # one, summed over all substeps since reset
    overflow: jax.Array


@struct.dataclass
class EnvState:
    """One batch of episodes."""

    physics: PhysicsState
    task: jax.Array  # int32 [B]
    steps: jax.Array  # int32 [B]: control steps since the policy took over
    success: jax.Array  # bool [B]: the goal held at some control step
    # bool [B]: frozen, as a number is unusable or an object found no place; see `env`
    diverged: jax.Array
    placement_failures: jax.Array  # int32 [B]: objects that found no place at reset

    @property
    def frozen(self) -> jax.Array:
        """bool [B]: environments that no action changes any more."""
        return self.success | self.diverged
