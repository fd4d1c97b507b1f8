"""MJX's filter of geom pairs, imported without its note that warp is missing."""

import contextlib
import io

with contextlib.redirect_stdout(io.StringIO()):
    from mujoco.mjx._src import collision_driver

__all__ = ["collision_driver"]
