"""The subset of a model's bodies that contact tables of whole models are built from."""

import mujoco
import numpy as np

from omnivla_jax.sim.engines.mjx.contact.candidates import BodySubset


def all_bodies(model: mujoco.MjModel) -> BodySubset:
    """Return the subset in which every body takes part, none in a slot."""
    size = model.nbody
    return BodySubset(
        np.arange(size), np.ones(size, bool), np.arange(model.nv), size, 0
    )
