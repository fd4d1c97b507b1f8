"""Notebook: LIBERO-Plus' seven dimensions and a policy under them; see `convert.py`."""

# %% [markdown]
# # LIBERO-Plus inside the compiled program
#
# LIBERO-Plus asks how robust a policy is: cameras, the arm's first pose, words, light,
# textures, noise and layouts change. There every variant is a process of its own. Here
# it is data of an episode, and one compiled program plays all of them beside each
# other. `RUN` is the folder of a trained policy, such as
# `/content/drive/MyDrive/runs/mine`; without one, all but the last cell runs.

# %%
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from omnivla_jax.core import compile as compilation
from omnivla_jax.sim import env, scene
from omnivla_jax.world import visual_scene
from omnivla_jax.world.perturbations import kinds, language, layout, perturbation

SMALL = bool(os.environ.get("NOTEBOOK_SMALL"))  # set by the tests
RUN = os.environ.get("NOTEBOOK_RUN", "runs/notebook")  # @param {type: "string"}
SEVERITY = 1.0  # @param {type: "slider", min: 0, max: 1, step: 0.1}
TASK = 1  # of libero_goal: put the bowl on the stove
compilation.enable_cache()
print(f"jax {jax.__version__} on {jax.devices()}")

# %% [markdown]
# ## One episode under every kind
#
# An episode carries a `Perturbation`, arrays with a leading environment axis. All draws
# below begin the same episode: only what the kind changes differs. Layouts put further
# objects into the scene, which wait out of sight until an episode wants them.

# %%
goal = scene.make("libero_goal", tasks=(TASK,), extras=tuple(layout.DISTRACTORS))
visuals = visual_scene.make(goal)
NAMES = ("none", *kinds.KINDS)
ROWS = jnp.array([kinds.NO_KIND, *range(len(kinds.KINDS))])


def begin(key):
    """The same episode under every kind, and what the cameras see of it."""
    layout_key, change_key = jax.random.split(key)
    count = len(NAMES)
    change = perturbation.draw(
        goal, jax.random.split(change_key, count), kinds.one_hot(ROWS), SEVERITY
    )
    keys = jnp.broadcast_to(layout_key, (count,))
    placed = env.place(goal, jnp.full(count, TASK), keys, change.layout.change)
    state = perturbation.begin(goal, placed, change)
    return state, perturbation.pictures(goal, visuals, state, size=16 if SMALL else 128)


program = compilation.jit(begin, fused=goal.engine == "mujoco")
state, images = program(jax.random.key(0))
figure, axes = plt.subplots(4, 6, figsize=(15, 11))
for axis, picture, name in zip(axes.flat, np.asarray(images)[:, 0], NAMES, strict=True):
    axis.imshow(picture)
    axis.set_title(name, fontsize=9)
    axis.axis("off")
display(figure)
plt.close(figure)

# %% [markdown]
# ## Words
#
# Thirty texts a task, in the five forms of LIBERO-Plus' language files.

# %%
texts = language.table([goal.tasks[TASK].instruction])
for form, row in zip(("as it is", *language.FORMS), (0, *range(1, len(texts), 6))):
    print(f"{form:14} {texts[row]}")
moved = np.abs(np.asarray(state.physics.qpos[:, :7] - state.physics.qpos[0, :7]))
arm = NAMES.index("robot.initial_joints")
print("the arm begins elsewhere under:", NAMES[int(moved.sum(1).argmax())])
assert moved[arm].max() > 0 or not SEVERITY

# %% [markdown]
# ## A policy under all of them
#
# `experiments.evaluate` plays episodes of every kind, and tells success by dimension,
# with 95 % intervals. `--perturb` also takes some dimensions (`camera,light.shadow`) or
# a file with the names of LIBERO-Plus' own variants; `--split=held_out` plays what
# training with `--config.perturb.kinds=all --config.perturb.split=training` never saw.

# %%
if Path(RUN, "checkpoints").exists():
    command = [sys.executable, "-m", "experiments.evaluate", f"--checkpoint={RUN}"]
    command += ["--perturb=all", "--episodes=230", "--out=robustness"]
    print(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)
    summary = json.loads(Path("robustness/evaluation.json").read_text())
    rates = {name: row["success"] for name, row in summary["dimensions"].items()}
    plt.bar(list(rates), [100 * rate for rate in rates.values()])
    plt.ylabel("success, %")
    plt.show()
else:
    print(f"No policy in {RUN}: train one with the notebook `training`.")
