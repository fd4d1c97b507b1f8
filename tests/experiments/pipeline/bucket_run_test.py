"""A training stage whose run lies in a bucket: saved, cut off, resumed.

Google's storage is emulated on this machine, where `pip install gcp-storage-emulator
gcsfs` has been done; the tests' requirements do not have the two.
"""

import socket
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from experiments.pipeline import shared_workdir, training_stage
from omnivla_jax.core import checkpoint_files, paths
from omnivla_jax.train import csv_log

emulator = pytest.importorskip("gcp_storage_emulator.server")
pytest.importorskip("gcsfs")

START: Any = {"w": jnp.float32(0.1), "step": jnp.int32(0)}
CALLS = 9


@jax.jit
def advance(state):
    after = {"w": 1.1 * state["w"] + 0.01, "step": state["step"] + 1}
    return after, {"loss": 1 / after["w"]}


def dying(state):
    if int(state["step"]) == 4:
        raise KeyboardInterrupt
    return advance(state)


@pytest.fixture
def run(monkeypatch):
    """The address of a run in an empty bucket."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    for name in ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL"):
        monkeypatch.setenv(name, f"http://localhost:{port}")
    monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "none")
    server = emulator.create_server(
        "localhost", port, in_memory=True, default_bucket="bucket"
    )
    server.start()
    yield paths.parse("gs://bucket/runs/mine")
    server.stop()


def train(run, step, *, resume):
    stage = training_stage.TrainingStage(
        name="toy",
        title="Toy",
        unit="call",
        num_calls=CALLS,
        abstract_state=START,
        init=lambda: (START, step),
        displayed_metrics=("loss",),
    )
    config: Any = SimpleNamespace(save_every=3)
    with shared_workdir.opened(run, {"seed": 0}, resume=resume) as workdir:
        context: Any = SimpleNamespace(workdir=workdir, config=config, evaluate_fn=list)
        return training_stage.run(context, stage)


@pytest.mark.slow
def test_a_run_in_a_bucket_resumes(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(run, dying, resume=False)
    folder = run / "checkpoints" / "toy"
    names = ["step-00000003"]
    assert [path.name for path in checkpoint_files.steps(folder)] == names
    (folder / "step-00000006" / "params").mkdir(parents=True)
    (folder / "step-00000006" / "params" / "_METADATA").write_text("{}")
    assert [path.name for path in checkpoint_files.steps(folder)] == names
    state = train(run, advance, resume=True)
    expected = START
    for _ in range(CALLS):
        expected, _ = advance(expected)
    assert float(state["w"]) == float(expected["w"])
    names = ["step-00000006", "step-00000009"]
    assert [path.name for path in checkpoint_files.steps(folder)] == names
    (tmp_path / "toy.csv").write_text((run / "toy.csv").read_text())
    assert len(csv_log.load(tmp_path / "toy.csv")) == CALLS
