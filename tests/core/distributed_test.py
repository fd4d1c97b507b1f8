"""Tests of omnivla_jax.core.distributed: who is asked for the other processes."""

import jax
import pytest

from omnivla_jax.core import distributed

SLURM = {
    "SLURM_NTASKS": "4",
    "SLURM_PROCID": "1",
    "SLURM_STEP_NODELIST": "node[1-4]",
}


@pytest.fixture
def calls(monkeypatch):
    """The arguments of `jax.distributed.initialize`, in an empty environment."""
    for name in (*distributed.COUNTS, *SLURM, distributed.HOSTS):
        monkeypatch.delenv(name, raising=False)
    seen: list = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args: seen.append(args))
    return seen


def test_flags_come_before_detection(calls):
    distributed.initialize(coordinator="h:1", num_processes=2, process_id=1)
    assert calls == [("h:1", 2, 1)]


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, False),
        (SLURM, True),
        (SLURM | {"SLURM_NTASKS": "1"}, False),
        ({"SLURM_NTASKS": "4"}, False),  # the shell of an allocation
        ({"OMPI_COMM_WORLD_SIZE": "2"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a.svc,b.svc"}, True),
    ],
)
def test_the_environment_names_several_processes(
    calls, monkeypatch, environment, expected
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    distributed.initialize()
    assert calls == [()] * expected
    distributed.initialize(detect=False)
    assert calls == [()] * expected
    distributed.initialize(detect=True)
    assert calls == [()] * (1 + expected)


def test_two_of_three_flags_are_refused(calls):
    with pytest.raises(ValueError, match="--process=None go together"):
        distributed.initialize(coordinator="h:1", num_processes=2)
    assert not calls


def test_an_error_alone_passes_through():
    with pytest.raises(KeyError, match="mine"), distributed.all_or_none():
        raise KeyError("mine")
    with distributed.all_or_none():
        distributed.require_same(1, "different")
