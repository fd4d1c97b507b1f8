"""Notebook: the simulator and its cameras in five minutes; see `convert.py`."""

# %% [markdown]
# # LIBERO's tasks as a batch of arrays
#
# The simulator and the renderer are functions in JAX: a batch of environments is
# stepped and drawn on whatever the runtime has, a CPU, a GPU or a TPU. There is no EGL,
# no robosuite and no process for each environment. Compiling takes most of the time.

# %%
import os
import time
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import Video, display

from experiments.reporting import video
from omnivla_jax.core import compile as compilation
from omnivla_jax.rl import groups
from omnivla_jax.sim import env, scene
from omnivla_jax.world import demos, observe, visual_scene

SMALL = bool(os.environ.get("NOTEBOOK_SMALL"))  # set by the tests
SIZE, STEPS = (32, 4) if SMALL else (128, 96)
BATCH = {"cpu": 8}.get(jax.default_backend(), 256)
compilation.enable_cache()
print(f"jax {jax.__version__} on {jax.devices()}")
assert (
    SMALL or jax.default_backend() != "cpu" or not os.path.exists("/dev/nvidia0")
), "The GPU is not used: run %pip install 'jax[cuda13]', then restart the session."

# %% [markdown]
# ## Reset
#
# A scene holds as many tasks as you like; each environment has a task of its own.

# %%
goal = scene.make("libero_goal", tasks=(1, 7, 8))
for number in goal.task_ids:
    print(number, goal.tasks[number].instruction)
task = jnp.asarray(goal.task_ids)[jnp.arange(BATCH) % 3]
reset = compilation.jit(lambda keys: env.reset(goal, task, keys))
state = reset(jax.random.split(jax.random.key(0), BATCH))
print("joint positions and object poses:", state.physics.qpos.shape)

# %% [markdown]
# ## Draw
#
# Colours, depth in metres along the viewing axis, the number of the shape under every
# pixel, surface normals and points, of the agent's and the wrist's camera.

# %%
visuals = visual_scene.make(goal)
OUTPUTS = ("rgb", "depth", "normal", "segmentation")
draw = compilation.jit(
    lambda physics: observe.render_images(
        visuals, physics, size=SIZE, outputs=OUTPUTS, shadows=True, supersample=2
    ),
    fused=True,
)
few = jax.tree.map(lambda leaf: leaf[:4], state.physics)
images = jax.tree.map(np.asarray, draw(few))
figure, axes = plt.subplots(2, 4, figsize=(12, 6))
for view in range(2):
    shown = (
        images.rgb[0, view],
        images.depth[0, view],
        images.normal[0, view] / 2 + 0.5,
        images.segmentation[0, view] % 20,
    )
    for axis, picture, name in zip(axes[view], shown, OUTPUTS):
        axis.imshow(picture, cmap="turbo")
        axis.set_title(name)
        axis.axis("off")
display(figure)
plt.close(figure)
print("nearest surface:", round(float(images.depth[images.depth > 0].min()), 2), "m")

# %% [markdown]
# ## Step
#
# Actions are those of LIBERO: six numbers move the hand (OSC_POSE), one the gripper, at
# 20 Hz. A whole episode is one compiled loop.


# %%
def random_episode(state, key):
    """An episode of small random actions."""

    def control_step(state, key):
        action = 0.3 * jax.random.normal(key, (BATCH, 7))
        return env.step(goal, state, action)[0], None

    return jax.lax.scan(control_step, state, jax.random.split(key, STEPS))[0]


run_episode = compilation.jit(random_episode)
start = time.perf_counter()
run_episode = run_episode.lower(state, jax.random.key(1)).compile()
print(f"compiled in {time.perf_counter() - start:.0f} s")
start = time.perf_counter()
moved = jax.block_until_ready(run_episode(state, jax.random.key(1)))
speed = BATCH * STEPS / (time.perf_counter() - start)
print(f"{BATCH} environments, {speed:,.0f} control steps/s on {goal.engine}")

# %% [markdown]
# ## A state is a value
#
# It can be indexed, copied and taken up again: online RL compares actions that were
# tried in copies of one state. The same actions lead to the same state, bit for bit.

# %%
copies = groups.repeat(jax.tree.map(lambda leaf: leaf[: BATCH // 4], moved), 4)
first, second = (run_episode(copies, jax.random.key(2)) for _ in range(2))
chex.assert_trees_all_equal(first, second)
print("replayed bit for bit")

# %% [markdown]
# ## Watch the scripted expert
#
# It has a skill for each of LIBERO's forty tasks, and records the demonstrations that
# training starts from.

# %%
record = demos.make_recorder(goal, visuals, steps=STEPS, size=SIZE, action_noise=0.05)
played = jnp.asarray(goal.task_ids)
trajectory = record(played, jax.random.key(0))
success = np.asarray(trajectory.success)
print("successes:", int(success[-1].sum()), "of", len(played))
pictures = np.asarray(trajectory.images)[::2]
frames = video.compose(
    pictures[:, :, 0],
    pictures[:, :, 1],
    [goal.tasks[number].instruction for number in goal.task_ids],
    np.where(success.any(0), success.argmax(0) // 2, -1),
)
video.write_mp4(Path("expert.mp4"), frames)
Video("expert.mp4", embed=True)
