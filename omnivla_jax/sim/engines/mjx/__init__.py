"""MJX as a physics engine, imported without its note that warp is not installed."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx
    from mujoco.mjx._src import collision_driver

__all__ = ["collision_driver", "mjx"]
