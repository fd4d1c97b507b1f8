"""Imports MJX without its remark that it misses warp, its second implementation."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx
    from mujoco.mjx._src import collision_driver

__all__ = ["collision_driver", "mjx"]
