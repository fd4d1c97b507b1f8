"""Published weights get the suite's tasks and time limit, and their own rhythm."""

import dataclasses
import functools
from pathlib import Path

import jax.numpy as jnp
import pytest

from experiments.configs import quickstart
from experiments.configs.schema import from_config
from experiments.pipeline import evaluated_policy
from experiments.pipeline.evaluated_policy import EvaluatedPolicy
from omnivla_jax.core import sharding
from omnivla_jax.policy import config as configs
from omnivla_jax.policy import normalize
from omnivla_jax.policy.pretrained import published
from tests.helpers.pretrained import published_folder


@pytest.mark.parametrize(
    "suite, limit, task_files",
    [("libero_spatial", 220, {}), ("libero_goal", 33, {"horizon": 33})],
)
def test_every_task_is_played_to_its_limit(tmp_path, suite, limit, task_files):
    name, base = "pi0_libero", configs.preset("debug").without_spatial()
    published_folder.write(tmp_path, name, base)
    load = functools.partial(
        published.load_policy, name, tmp_path, base=base, mesh=sharding.make_mesh()
    )
    origin = {"policy": name}
    found = evaluated_policy.from_weights(
        load, suite=suite, task_files=task_files, origin=origin
    )
    config = found.config
    assert config.tasks == tuple(range(10)) and config.suite == suite
    assert config.image_size == base.vision.image_size
    settings = config.evaluation
    assert (settings.episodes, settings.exec_horizon, settings.steps) == (500, 5, 10)
    assert settings.chunks == limit // 5
    assert config.task_table.horizon == limit
    assert config.policy.delta_mask[:6] == (True,) * 6
    assert found.origin == origin
    assert len(found.normalizer.state.offset) == 8


def test_an_unknown_suite_is_refused_first():
    def load():
        raise AssertionError("weights were read")

    with pytest.raises(ValueError, match="libero_kitchen"):
        evaluated_policy.from_weights(
            load, suite="libero_kitchen", task_files={}, origin={}
        )


def test_policies_compose_in_the_same_sizes_and_units(monkeypatch):
    config = from_config(quickstart.get_config("debug"))
    units = normalize.identity_normalizer(8, 7)
    doubled = dataclasses.replace(units.action, scale=jnp.full(7, 2.0))
    small = dataclasses.replace(config, policy=config.policy.without_spatial())
    chosen = EvaluatedPolicy(config, {"action": 1}, units, {})
    others = {
        "same": chosen._replace(params={"action": 2}),
        "units": chosen._replace(normalizer=dataclasses.replace(units, action=doubled)),
        "sizes": chosen._replace(config=small),
    }
    monkeypatch.setattr(
        evaluated_policy, "from_checkpoint", lambda path, stage: others[path.name]
    )
    assert evaluated_policy.composed(chosen, None) is chosen
    both = evaluated_policy.composed(chosen, Path("same"))
    assert both.params == {"action": 1, "other": {"action": 2}}
    for name in ("units", "sizes"):
        with pytest.raises(ValueError, match=f"--compose={name} .* of other {name}"):
            evaluated_policy.composed(chosen, Path(name))
