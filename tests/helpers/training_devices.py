"""Training on a mesh of eight devices: `training_test.py` runs this in a process apart.

Axes of the mesh: data x fsdp x tensor.
"""

from types import SimpleNamespace
from typing import Any

import chex
import jax
import numpy as np
import pytest

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline import training, training_stage
from experiments.pipeline.workdir import Workdir
from omnivla_jax.core import sharding
from omnivla_jax.train import csv_log
from tests.helpers import reaching

LARGE = 4096  # bytes


def make_context(path, mesh, **changes) -> Any:
    raw = quickstart.get_config("debug")
    raw.sft.batch_size, raw.rl.groups = 8, 4
    raw.tasks = (0, 1, 2)  # as many as the stand-in simulator has
    raw.update_from_flattened_dict(changes)
    config = from_config(raw)
    return SimpleNamespace(
        config=config,
        workdir=Workdir(path),
        mesh=mesh,
        environment=reaching.make(config.policy),
    )


def train_sft(context):
    stage = training.sft_stage(context, None, reaching.demonstrations)
    return training_stage.run(context, stage)


@pytest.fixture(scope="module")
def mesh():
    return sharding.make_mesh(data=2, fsdp=2, tensor=2)


@pytest.fixture(scope="module")
def spread(mesh, tmp_path_factory):
    """A job on the mesh and the state after stage II."""
    found = make_context(tmp_path_factory.mktemp("spread"), mesh)
    return found, train_sft(found)


def assert_split(state):
    """No large parameter, average or moment lies whole on any device."""
    trees = (state.params, state.ema_params, state.opt_state)
    whole = {
        jax.tree_util.keystr(path): leaf.sharding.is_fully_replicated
        for index, tree in enumerate(trees)
        for path, leaf in jax.tree_util.tree_leaves_with_path({index: tree})
        if leaf.nbytes >= LARGE
    }
    assert len(whole) > 4 * 8  # two moments
    assert not any(whole.values()), whole


def test_parameters_and_moments_are_split(spread):
    found, state = spread
    assert int(state.step) == found.config.sft.steps
    assert_split(state)


def test_a_checkpoint_is_read_onto_the_mesh(spread):
    found, state = spread
    again = train_sft(found)
    assert_split(again)
    chex.assert_trees_all_equal(jax.device_get(again), jax.device_get(state))
    on_one: Any = SimpleNamespace(**(vars(found) | {"mesh": None}))
    alone = train_sft(on_one)
    assert all(len(x.sharding.device_set) == 1 for x in jax.tree.leaves(alone))


@pytest.fixture(scope="module")
def losses_alone(tmp_path_factory):
    """The losses of every step on one device."""
    alone = make_context(tmp_path_factory.mktemp("alone"), None)
    train_sft(alone)
    return losses(alone)


def losses(context):
    rows = csv_log.load(context.workdir.metrics_file("sft"))
    assert len(rows) == context.config.sft.steps
    return [row["loss"] for row in rows]


def test_the_mesh_learns_what_one_device_learns(spread, losses_alone):
    np.testing.assert_allclose(losses(spread[0]), losses_alone, rtol=0, atol=1e-5)


def test_streamed_batches_are_split_over_the_mesh(mesh, losses_alone, tmp_path):
    """In the order of training from memory, whose losses they have to be."""
    changes = {"data.streaming": True, "data.streaming_order": "in_memory"}
    found = make_context(tmp_path, mesh, **changes)
    train_sft(found)
    np.testing.assert_allclose(losses(found), losses_alone, rtol=0, atol=1e-5)


def test_a_batch_that_does_not_divide_is_told(mesh, tmp_path):
    odd = make_context(tmp_path, mesh, **{"sft.batch_size": 6})
    with pytest.raises(ValueError, match="sft.batch_size=6 does not divide over 4"):
        train_sft(odd)
