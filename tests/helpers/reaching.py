"""A stand-in simulator for tests: a point reaches one of three goals, in pure JAX.

Axes: B environments, D = 7 action dimensions (the first two move the point).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from omnivla_jax.core.types import Demonstration, Observation, TimeStep
from omnivla_jax.train import environment

GOALS = np.array([[0.6, 0.0], [-0.6, 0.0], [0.0, 0.6]], np.float32)
TEXTS = ("go right", "go left", "go up")
SPEED, RADIUS, SIDE = 0.15, 0.2, 16


@struct.dataclass
class Point:
    position: jax.Array  # float32 [B, 2]
    task: jax.Array  # int32 [B]
    success: jax.Array  # bool [B]
    diverged: jax.Array  # bool [B]


def reset(task, keys):
    position = jax.vmap(
        lambda key: jax.random.uniform(key, (2,), minval=-0.1, maxval=0.1)
    )(keys)
    never = jnp.zeros(task.shape, bool)
    return Point(position, task, never, never)


def step(state, action):
    move = SPEED * jnp.clip(action[:, :2], -1, 1)
    frozen = (state.success | state.diverged)[:, None]
    position = jnp.where(frozen, state.position, state.position + move)
    near = jnp.linalg.norm(position - jnp.asarray(GOALS)[state.task], axis=-1) < RADIUS
    success = state.success | near
    reward = (success & ~state.success).astype(jnp.float32)
    after = state.replace(position=position, success=success)
    return after, TimeStep(reward, success, jnp.zeros_like(success))


def alignment(state):
    distance = jnp.linalg.norm(state.position - jnp.asarray(GOALS)[state.task], axis=-1)
    return 1 - jnp.tanh(distance)


def terms(state, action, previous_action, names):
    """Unweighted reward terms by name; `effort` is minus the size of the action."""
    table = {
        "success": state.success.astype(jnp.float32),
        "alignment": alignment(state),
        "effort": -jnp.linalg.norm(action, axis=-1),
        "smoothness": -jnp.linalg.norm(action - previous_action, axis=-1),
    }
    return {name: table[name] for name in names}


def make(config):
    """The environment, with instructions in the tokens of `config`."""
    table = environment.instructions(TEXTS, config)

    def observe(state, instruction_id):
        batch = state.task.shape[0]
        shade = (127.5 + 127.5 * jnp.clip(state.position, -1, 1)).astype(jnp.uint8)
        shape = (batch, 2, SIDE, SIDE, 3)
        images = jnp.broadcast_to(shade[:, :, None, None, None], shape)
        proprio = jnp.pad(state.position, ((0, 0), (0, 6)))
        tokens, mask = table.tokens[instruction_id], table.mask[instruction_id]
        return Observation(images, tokens, mask, proprio)

    return environment.Environment(
        reset,
        step,
        observe,
        first_action=(0.0,) * 6 + (-1.0,),
        supports_fusion=True,
        reward_terms=terms,
    )


def episode(rng, task, *, length=5):
    """A demonstration that walks straight to the goal, with some tremor."""
    position = rng.uniform(-0.1, 0.1, 2).astype(np.float32)
    states, actions = [], []
    for _ in range(length):
        gap = GOALS[task] - position
        action = np.full(7, -1, np.float32)
        action[2:6] = 0
        action[:2] = np.clip(gap / np.linalg.norm(gap) + rng.normal(0, 0.3, 2), -1, 1)
        states.append(np.pad(position, (0, 6)))
        actions.append(action)
        position = position + SPEED * action[:2]
    shade = np.clip(127.5 + 127.5 * np.stack(states)[:, :2], 0, 255).astype(np.uint8)
    shape = (length, 2, SIDE, SIDE, 3)
    images = np.broadcast_to(shade[..., None, None, None], shape).copy()
    return Demonstration(
        images=images,
        state=np.stack(states),
        joint_state=np.zeros((length, 7), np.float32),
        action=np.stack(actions),
        instruction=TEXTS[task],
        task=task,
    )


def demonstrations(seed=0, count=12):
    rng = np.random.default_rng(seed)
    return [episode(rng, index % 3) for index in range(count)]
