"""Steps the real LIBERO for another process: the one file that runs beside LIBERO.

    python worker.py DESCRIPTOR

It runs in the environment of `make libero-env`, imports nothing of this project, and
talks over an inherited end of `multiprocessing.Pipe`. Requests and replies are pickled
tuples and dicts of Python's own types, arrays as (dtype, shape, bytes), so that the two
sides may have different versions of NumPy:

    ("open", file, camera_size, seed, hard_reset, every_step) -> what the task is
    ("seed", seed) -> nothing; of the next resets
    ("reset", state) -> the observation after `set_init_state`
    ("step", action) -> the observation after one control step
    ("render",) -> the pictures, which observations hold under `every_step` alone
    ("contacts",) -> the names of the bodies that touch, in pairs
    ("cpu_seconds",) -> what this process has used so far
    ("close",) -> nothing, and the process ends
"""

import os
import sys
import tempfile
import time
import traceback
from importlib.util import find_spec
from multiprocessing.connection import Connection

CAMERAS = {"agentview_image": "agentview", "wrist_image": "robot0_eye_in_hand"}


def main(descriptor):
    """Answer requests until the other side closes."""
    configure()
    session: dict = {}
    with Connection(descriptor) as connection:
        while True:
            try:
                command, *arguments = connection.recv()
            except EOFError:
                return
            if command == "close":
                return
            try:
                reply = COMMANDS[command](session, *arguments)
            except Exception:  # the other process names the task and continues
                reply = {"error": traceback.format_exc()}
            connection.send(reply)


def configure():
    """Tell LIBERO where its files are: without a config it asks on standard input."""
    if "LIBERO_CONFIG_PATH" in os.environ:
        return
    package = find_spec("libero")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("LIBERO is not installed here: build it by `make libero-env`")
    root = os.path.join(package.submodule_search_locations[0], "libero")
    folder = tempfile.mkdtemp(prefix="libero_config_")
    names = {
        "benchmark_root": ".",
        "bddl_files": "bddl_files",
        "init_states": "init_files",
        "assets": "assets",
        "datasets": os.path.join("..", "datasets"),
    }
    with open(os.path.join(folder, "config.yaml"), "w") as file:
        for name, place in names.items():
            file.write(f"{name}: {os.path.join(root, place)}\n")
    os.environ["LIBERO_CONFIG_PATH"] = folder


def open_task(session, file, camera_size, seed, hard_reset, every_step):
    """Make the environment of `file`, as libero_goal/NAME; size 0 has no cameras."""
    # robosuite reads it on import: no renderer unless pictures are asked for.
    os.environ.setdefault("MUJOCO_GL", "osmesa" if camera_size else "disable")
    from libero.libero import get_libero_path
    from libero.libero.envs.env_wrapper import ControlEnv

    if "env" in session:
        session.pop("env").close()
    env = ControlEnv(
        bddl_file_name=os.path.join(get_libero_path("bddl_files"), file + ".bddl"),
        use_camera_obs=camera_size > 0 and every_step,
        has_offscreen_renderer=camera_size > 0,
        camera_heights=camera_size,
        camera_widths=camera_size,
        camera_names=list(CAMERAS.values()),
        hard_reset=hard_reset,
    )
    env.seed(seed)
    observed = camera_size > 0 and every_step
    session.update(env=env, seed=seed, size=camera_size, cameras=observed)
    states = os.path.join(get_libero_path("init_states"), file + ".pruned_init")
    return {"init_states": states}


def seed_resets(session, seed):
    """Seed where the next resets put what an initial state does not hold."""
    session["env"].seed(seed)
    return {}


def reset(session, state):
    """Reset to a recorded state as LIBERO's evaluators do: float64 bytes."""
    import numpy

    env = session["env"]
    env.reset()
    return observe(session, env.set_init_state(numpy.frombuffer(state)), False)


def step(session, action):
    """Take one control step; `success` is LIBERO's `done`."""
    observation, _, done, _ = session["env"].step(list(action))
    return observe(session, observation, bool(done))


def observe(session, observation, success):
    """The state of the simulator and what LIBERO lets a policy see."""
    env = session["env"]
    model, data = env.sim.model, env.sim.data
    fixtures = {}
    for name, fixture in env.env.fixtures_dict.items():
        body = model.body_name2id(fixture.root_body)
        fixtures[name] = (model.body_pos[body].tolist(), model.body_quat[body].tolist())
    reply = {
        "qpos": data.qpos.tolist(),
        "qvel": data.qvel.tolist(),
        "fixtures": fixtures,
        "success": success,
    }
    for name in ("eef_pos", "eef_quat", "gripper_qpos"):
        reply[name] = observation["robot0_" + name].tolist()
    if session["cameras"]:
        for name, camera in CAMERAS.items():
            reply[name] = packed(observation[camera + "_image"])
    return reply


def render(session):
    """The pictures of now, pixel by pixel those that an observation would hold."""
    sim, size = session["env"].sim, session["size"]
    return {
        name: packed(sim.render(camera_name=camera, width=size, height=size))
        for name, camera in CAMERAS.items()
    }


def packed(picture):
    """An array as Python's own types."""
    return picture.dtype.str, picture.shape, picture.tobytes()


def contacts(session):
    """Which bodies touched each other when the contacts were last computed."""
    model, data = session["env"].sim.model, session["env"].sim.data
    pairs = set()
    for contact in data.contact[: data.ncon]:
        bodies = (model.geom_bodyid[g] for g in (contact.geom1, contact.geom2))
        pairs.add(tuple(sorted(model.body_id2name(body) for body in bodies)))
    return {"pairs": sorted(pairs)}


def cpu_seconds(session):
    """The processor time of this process, all threads and both modes."""
    del session
    return {"seconds": time.process_time()}


COMMANDS: dict = {
    "open": open_task,
    "seed": seed_resets,
    "reset": reset,
    "step": step,
    "render": render,
    "contacts": contacts,
    "cpu_seconds": cpu_seconds,
}

if __name__ == "__main__":
    main(int(sys.argv[1]))
