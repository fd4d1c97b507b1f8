"""Pictures by MuJoCo's own renderer, as an oracle and as a rival for ours.

Its OpenGL is chosen when mujoco is imported, so it draws in a process of its own:
through EGL or OSMesa, whichever loads. Debian: `apt-get install libegl1
libgl1-mesa-dri` or `libosmesa6`.
Axes: B environments, V cameras, S image side, G geoms, N bodies.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple, Sequence

import mujoco
import numpy as np

BACKENDS = ("egl", "osmesa")
NEAR, FAR = 0.005, 60.0  # m: nothing is nearer to a camera, or farther


class Pictures(NamedTuple):
    """What MuJoCo drew."""

    rgb: np.ndarray  # uint8 [B, V, S, S, 3]
    depth: np.ndarray  # float32 [B, V, S, S]: m along the viewing axis
    geom: np.ndarray  # int32 [B, V, S, S]: -1 where nothing is
    backend: str
    milliseconds: float  # of wall time per rgb picture
    cpu_milliseconds: float  # of all cores


def draw(
    model: mujoco.MjModel,
    position: np.ndarray,
    rotation: np.ndarray,
    cameras: Sequence[Any],
    *,
    size: int,
    shadows: bool = False,
) -> Pictures | None:
    """Draw bodies at `position` [B, N, 3] and `rotation` [B, N, 3, 3].

    `cameras` holds, for every view, position [B, 3], rotation [B, 3, 3] and fovy [B].
    None where neither EGL nor OSMesa loads.
    """
    with tempfile.TemporaryDirectory() as folder:
        job, scene = Path(folder, "job.npz"), Path(folder, "model.mjb")
        mujoco.mj_saveModel(model, str(scene), None)
        np.savez(
            job,
            position=position,
            rotation=rotation,
            eye=np.stack([c.position for c in cameras], axis=1),
            turn=np.stack([c.rotation for c in cameras], axis=1),
            fovy=np.stack([c.fovy for c in cameras], axis=1),
            size=size,
            shadows=shadows,
        )
        for backend in BACKENDS:
            command = [sys.executable, "-m", __name__, str(scene), str(job)]
            environment = os.environ | {"MUJOCO_GL": backend}
            found = subprocess.run(
                command, env=environment, capture_output=True, check=False
            )
            if found.returncode == 0:
                with np.load(job) as loaded:
                    return Pictures(**{k: loaded[k][()] for k in Pictures._fields})
    return None


def _main(scene: str, path: str) -> None:
    with np.load(path) as loaded:
        job = dict(loaded)
    model = mujoco.MjModel.from_binary_path(scene)
    size = int(job["size"])
    model.vis.quality.offsamples = 0  # one sample per pixel, as ours
    model.stat.extent, model.vis.map.znear, model.vis.map.zfar = 1.0, NEAR, FAR
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, size, size) as renderer:
        views = _views(model, data, renderer, job)
        np.savez(path, backend=os.environ["MUJOCO_GL"], **views)


def _views(
    model: mujoco.MjModel, data: mujoco.MjData, renderer: Any, job: dict[str, Any]
) -> dict[str, Any]:
    wall = cpu = 0.0
    found: dict[str, list[np.ndarray]] = {"rgb": [], "depth": [], "geom": []}
    count, views = job["fovy"].shape
    for index in range(count * views):
        env, view = divmod(index, views)
        _pose(model, data, job["position"][env], job["rotation"][env])
        renderer.update_scene(data)
        flags = renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = job["shadows"]
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        _aim(
            renderer.scene,
            job["eye"][env, view],
            job["turn"][env, view],
            job["fovy"][env, view],
        )
        began = time.perf_counter(), time.process_time()
        found["rgb"].append(renderer.render())
        if index:  # the first one compiles shaders
            wall += time.perf_counter() - began[0]
            cpu += time.process_time() - began[1]
        renderer.enable_depth_rendering()
        found["depth"].append(renderer.render())
        renderer.disable_depth_rendering()
        renderer.enable_segmentation_rendering()
        found["geom"].append(renderer.render()[..., 0])
        renderer.disable_segmentation_rendering()
    shaped = {
        name: np.stack(rows).reshape(count, views, *rows[0].shape)
        for name, rows in found.items()
    }
    timed = max(count * views - 1, 1) / 1e3
    return shaped | {"milliseconds": wall / timed, "cpu_milliseconds": cpu / timed}


def _pose(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    position: np.ndarray,
    rotation: np.ndarray,
) -> None:
    body = model.geom_bodyid
    local = np.zeros((model.ngeom, 9))
    for geom in range(model.ngeom):
        mujoco.mju_quat2Mat(local[geom], model.geom_quat[geom])
    data.geom_xpos[:] = position[body] + np.einsum(
        "gij,gj->gi", rotation[body], model.geom_pos
    )
    turned = rotation[body] @ local.reshape(-1, 3, 3)
    data.geom_xmat[:] = turned.reshape(-1, 9)


def _aim(scene: Any, eye: np.ndarray, turn: np.ndarray, fovy: float) -> None:
    for camera in scene.camera:
        camera.pos, camera.forward, camera.up = eye, -turn[:, 2], turn[:, 1]
        top = camera.frustum_near * np.tan(np.radians(fovy) / 2)
        camera.frustum_top, camera.frustum_bottom = top, -top
        camera.frustum_center, camera.frustum_width = 0.0, 0.0


if __name__ == "__main__":
    _main(*sys.argv[1:])
