"""Images by MuJoCo's own renderer, as an oracle and as a baseline for ours.

Its OpenGL is chosen when mujoco is imported, so that it draws in a process of its own,
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
from typing import Any, Mapping, NamedTuple, Sequence

import mujoco
import numpy as np

BACKENDS = ("egl", "osmesa")
NEAR, FAR = 0.005, 60.0  # m: clipping planes of the cameras


class MujocoImages(NamedTuple):
    """Images of MuJoCo's, and how long they took."""

    rgb: np.ndarray  # uint8 [B, V, S, S, 3]
    depth: np.ndarray  # float32 [B, V, S, S]: m along the viewing axis
    geom: np.ndarray  # int32 [B, V, S, S]: -1 for none
    backend: str
    milliseconds: float  # of wall time per rgb image
    cpu_milliseconds: float  # of all cores


def draw(
    model: mujoco.MjModel,
    position: np.ndarray,
    rotation: np.ndarray,
    cameras: Sequence[Any],
    *,
    size: int,
    shadows: bool = False,
) -> MujocoImages | None:
    """Draw a batch of body poses in a process of its own.

    Args:
      model: whose geoms are drawn.
      position: of the bodies [B, N, 3], m.
      rotation: of the bodies [B, N, 3, 3].
      cameras: for every view, position [B, 3], rotation [B, 3, 3] and fovy [B] in
        degrees.
      size: image side S, pixels.
      shadows: whether lamps cast them.

    Returns:
      None where neither EGL nor OSMesa loads.
    """
    with tempfile.TemporaryDirectory() as folder:
        arrays, binary = Path(folder, "arrays.npz"), Path(folder, "model.mjb")
        mujoco.mj_saveModel(model, str(binary), None)
        np.savez(
            arrays,
            position=position,
            rotation=rotation,
            camera_position=np.stack([c.position for c in cameras], axis=1),
            camera_rotation=np.stack([c.rotation for c in cameras], axis=1),
            fovy=np.stack([c.fovy for c in cameras], axis=1),
            size=size,
            shadows=shadows,
        )
        for backend in BACKENDS:
            process = subprocess.run(
                [sys.executable, "-m", __name__, str(binary), str(arrays)],
                env=os.environ | {"MUJOCO_GL": backend},
                capture_output=True,
                check=False,
            )
            if process.returncode == 0:
                with np.load(arrays) as images:
                    return MujocoImages(**{k: images[k][()] for k in images})
    return None


def _main(binary: str, path: str) -> None:
    """Draw the arrays in `path` and replace them by the images."""
    with np.load(path) as file:
        arrays = dict(file)
    model = mujoco.MjModel.from_binary_path(binary)
    size = int(arrays["size"])
    model.vis.quality.offsamples = 0  # one sample per pixel, as ours
    model.stat.extent, model.vis.map.znear, model.vis.map.zfar = 1.0, NEAR, FAR
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, size, size) as renderer:
        images = _render_views(model, data, renderer, arrays)
        np.savez(path, backend=os.environ["MUJOCO_GL"], **images)


def _render_views(
    model: mujoco.MjModel,
    data: mujoco.MjData,
    renderer: Any,
    arrays: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Colour, depth and geoms of every view, and the time of a colour image."""
    num_envs, num_views = arrays["fovy"].shape
    geom_rotation = np.zeros((model.ngeom, 9))
    for geom in range(model.ngeom):
        mujoco.mju_quat2Mat(geom_rotation[geom], model.geom_quat[geom])
    body = model.geom_bodyid
    wall = cpu = 0.0
    images: dict[str, list[np.ndarray]] = {"rgb": [], "depth": [], "geom": []}
    for index in range(num_envs * num_views):
        env, view = divmod(index, num_views)
        rotation = arrays["rotation"][env][body]
        data.geom_xpos[:] = arrays["position"][env][body] + np.einsum(
            "gij,gj->gi", rotation, model.geom_pos
        )
        data.geom_xmat[:] = (rotation @ geom_rotation.reshape(-1, 3, 3)).reshape(-1, 9)
        renderer.update_scene(data)
        flags = renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = arrays["shadows"]
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        axes = arrays["camera_rotation"][env, view]
        for camera in renderer.scene.camera:
            camera.pos = arrays["camera_position"][env, view]
            camera.forward, camera.up = -axes[:, 2], axes[:, 1]
            half_angle = np.radians(arrays["fovy"][env, view]) / 2
            top = camera.frustum_near * np.tan(half_angle)
            camera.frustum_top, camera.frustum_bottom = top, -top
            camera.frustum_center, camera.frustum_width = 0.0, 0.0
        began = time.perf_counter(), time.process_time()
        images["rgb"].append(renderer.render())
        if index:  # the first one compiles shaders
            wall += time.perf_counter() - began[0]
            cpu += time.process_time() - began[1]
        renderer.enable_depth_rendering()
        images["depth"].append(renderer.render())
        renderer.disable_depth_rendering()
        renderer.enable_segmentation_rendering()
        images["geom"].append(renderer.render()[..., 0])
        renderer.disable_segmentation_rendering()
    batches = {
        name: np.stack(rows).reshape(num_envs, num_views, *rows[0].shape)
        for name, rows in images.items()
    }
    timed = max(num_envs * num_views - 1, 1) / 1e3
    return batches | {"milliseconds": wall / timed, "cpu_milliseconds": cpu / timed}


if __name__ == "__main__":
    _main(*sys.argv[1:])
