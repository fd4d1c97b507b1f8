"""Notebook: load a policy, infer, serve it, evaluate it; see `convert.py`."""

# %% [markdown]
# # Use a trained policy
#
# A run's folder is all that inference needs. `RUN` is where yours lies, such as
# `/content/drive/MyDrive/runs/mine`. Where there is none, one is trained first, by flow
# matching alone: ten minutes on two CPU cores.

# %%
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from IPython.display import Video, display

from experiments.configs import quickstart
from experiments.real_libero.policy_client import PolicyClient
from omnivla_jax.core import compile as compilation
from omnivla_jax.core.orientation import convert_image_convention
from omnivla_jax.policy import inference
from omnivla_jax.sim import env, scene
from omnivla_jax.world import observe, proprioception, visual_scene

SMALL = bool(os.environ.get("NOTEBOOK_SMALL"))  # set by the tests
RUN = os.environ.get("NOTEBOOK_RUN", "runs/notebook")  # @param {type: "string"}
EPISODES = 2 if SMALL else 24
TASK = 7  # of libero_goal: turn on the stove
compilation.enable_cache()
print(f"jax {jax.__version__} on {jax.devices()}")

# %%
if not Path(RUN, "checkpoints").exists():
    command = [sys.executable, "-m", "experiments.train", f"--workdir={RUN}"]
    command += [f"--config={quickstart.__file__}{':debug' if SMALL else ''}"]
    command += [f"--config.tasks={TASK},", "--config.stages=sft", "--resume"]
    if SMALL:
        command += ["--config.evaluation.recorded=0"]
    print(subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout)

# %% [markdown]
# ## Infer
#
# Two upright pictures, the robot's state and an instruction go in, a chunk of actions
# in the simulator's units comes out. Here the simulator makes the pictures.

# %%
stage = sorted(Path(RUN, "checkpoints").iterdir())[0]  # online, else sft
policy = inference.load(stage)  # its newest checkpoint
spec = policy.spec
print(spec.instructions, "actions executed of a chunk:", spec.exec_horizon)

# %%
goal = scene.make("libero_goal", tasks=(TASK,))
visuals = visual_scene.make(goal)
size = spec.config.vision.image_size
state = env.reset(goal, jnp.array([TASK]), jax.random.split(jax.random.key(0), 1))
step = compilation.jit(lambda state, action: env.step(goal, state, action)[0])
draw = compilation.jit(lambda physics: observe.images(visuals, physics, size=size))
prompt = goal.tasks[TASK].instruction


def observation(state):
    """What the policy sees of the one environment."""
    return {
        "images": np.asarray(draw(state.physics))[0],
        "state": np.asarray(proprioception.policy_state(goal, state))[0],
        "prompt": prompt,
    }


for _ in range(1 if SMALL else 12):
    chunk = policy.infer(observation(state))["actions"]
    for action in chunk[: spec.exec_horizon]:
        state = step(state, jnp.asarray(action)[None])
print(prompt, "- reached" if bool(state.success[0]) else "- not reached")

# %% [markdown]
# ## Serve
#
# `experiments.serve` speaks openpi's protocol, over websockets: robots and evaluators
# that were written for openpi talk to it unchanged. Its clients turn LIBERO's pictures
# by 180 degrees; the server turns them back.

# %%
serve = [sys.executable, "-m", "experiments.serve", f"--checkpoint={stage}"]
server = subprocess.Popen(
    [*serve, "--port=0", "--max_batch=1"], stdout=subprocess.PIPE, text=True
)
assert server.stdout is not None
address = server.stdout.readline().split()[-1]
seen = observation(state)
agent, wrist = convert_image_convention(seen["images"], "openpi")
request = {
    "observation/image": agent,
    "observation/wrist_image": wrist,
    "observation/state": seen["state"],
    "prompt": prompt,
}
with PolicyClient(address) as client:
    served = client.infer(request)
print(address, "answers", served.shape)
assert served.shape == chunk.shape and np.isfinite(served).all()
server.terminate()
server.wait()

# %% [markdown]
# ## Evaluate
#
# Success by task with 95 % intervals, on initial states that training never saw, and a
# video of the episodes that failed.

# %%
command = [sys.executable, "-m", "experiments.evaluate", f"--checkpoint={RUN}"]
command += [f"--episodes={EPISODES}", f"--out={RUN}/evaluation"]
if not SMALL:
    command += ["--videos=2"]
done = subprocess.run(command, capture_output=True, text=True)
print(done.stderr)
summary = json.loads(done.stdout)
print(f"{summary['success']:.0%} of {summary['episodes']} episodes")
failures = Path(RUN, "evaluation", "failures.mp4")
if failures.exists():
    display(Video(str(failures), embed=True))
