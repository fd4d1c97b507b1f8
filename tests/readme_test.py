"""The README's snippets run, at toy sizes."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from omnivla_jax.policy.inference import PolicySpec
from omnivla_jax.train import checkpoints

README = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
# What makes the snippets small: (in the README, here).
TOY_SIZES = (
    (
        'preset("tiny")',
        'dataclasses.replace(preset("debug").without_spatial(), max_tokens=16)',
    ),
    ("size=64", "size=16"),
    ("[7, 8] * 12", "[7, 8] * 3"),
    ("SftConfig(adam, 120)", "SftConfig(adam, 10, batch_size=4)"),
    ("range(12)", "range(1)"),
    ("FlowSampler(4,", "FlowSampler(2,"),
    ("exec_horizon=8", "exec_horizon=4"),
    ("updates=8, groups=4, chunks=12", "updates=1, groups=2, chunks=2"),
)


@pytest.mark.slow
def test_the_snippets_run_one_after_the_other(tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    for full, toy in TOY_SIZES:
        assert any(full in block for block in blocks), full
        blocks = [block.replace(full, toy) for block in blocks]
    simulator, learning, inference = blocks
    names: dict = {"dataclasses": dataclasses}
    exec(simulator, names)
    assert names["images"].rgb.shape == (8, 2, 16, 16, 3)
    exec(learning, names)
    assert int(names["state"].step) == 1 and np.isfinite(names["metrics"]["loss"])
    monkeypatch.chdir(tmp_path)
    spec = PolicySpec(names["config"], exec_horizon=4, ode_steps=2)
    folder = Path("runs/quickstart/checkpoints/online")
    checkpoints.save(folder, names["state"], [{"loss": 1.0}], policy=spec.to_json())
    exec(inference, names)
    assert names["chunk"]["actions"].shape == (4, 7)
