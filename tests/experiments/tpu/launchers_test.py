"""Tests of experiments.tpu: every command of a dry run, and no need for JAX."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.tpu import commands, gke, slurm, tpu_vm
from omnivla_jax.core import exits

ROOT = Path(__file__).parents[3]
EXPECTED = Path(__file__).parent / "expected"
TRAIN = ("--dry-run", "--", "--config.policy.preset=small", "--config.seed=1")
TPU_VM = ("--zone=us-central1-a", "--type=v5litepod-16", "--workdir=gs://b/runs/mine")
GKE = ("--cluster=c", "--zone=us-central1-a", "--workdir=gs://b/runs/mine")
SLURM = ("--nodes=2", "--gpus=4", "--time=24:00:00", "--workdir=/shared/runs/mine")
CASES: dict[str, Any] = {
    "tpu_vm_train": (tpu_vm, "train", *TPU_VM, "--spot", *TRAIN),
    "tpu_vm_others": (tpu_vm, "status", *TPU_VM[:2], "--project=p", "--dry-run"),
    "gke_train": (gke, "train", *GKE, "--image=us-docker.pkg.dev/p/r/i", *TRAIN),
    "gke_cluster": (gke, "cluster", *GKE, "--slices=2", "--spot", "--dry-run"),
    "slurm_train": (slurm, "train", *SLURM, "--partition=gpu", *TRAIN),
}


@pytest.mark.parametrize("name", CASES)
def test_a_dry_run_prints_every_command(name, capsys):
    launcher, *arguments = CASES[name]
    launcher.main(arguments)
    assert capsys.readouterr().out == (EXPECTED / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    "type_, runtime",
    [
        ("v4-32", "tpu-ubuntu2204-base"),
        ("v5litepod-8", "v2-alpha-tpuv5-lite"),
        ("v5p-8", "v2-alpha-tpuv5"),
        ("v6e-8", "v2-alpha-tpuv6e"),
    ],
)
def test_a_slice_gets_the_runtime_of_its_type(type_, runtime, capsys):
    tpu_vm.main(["create", "--zone=z", f"--type={type_}", "--dry-run"])
    assert f"--runtime-version={runtime}\n" in capsys.readouterr().out


def test_training_needs_a_folder(capsys):
    with pytest.raises(SystemExit):
        slurm.main(["train", "--dry-run"])
    assert "train needs --workdir" in capsys.readouterr().err


class Recorded(commands.Shell):
    """A shell whose commands fail as told; `log` holds the last word of each action."""

    log: list = []
    failures: list = []  # of the training command, first to last
    states: list = []

    def run(self, *command, text=""):
        self.log.append(
            next(
                word
                for word in (
                    "create",
                    "delete",
                    "scp",
                    "experiments.train",
                    "uv",
                    "git",
                )
                if any(word in part for part in command)
            )
        )
        return self.log[-1] != "experiments.train" or not self.failures.pop(0)

    def read(self, *command, dry):
        return self.states.pop(0)


@pytest.fixture
def recorded(monkeypatch):
    monkeypatch.setattr(tpu_vm, "Shell", Recorded)
    monkeypatch.setattr(tpu_vm, "POLL_SECONDS", 0)
    for name in ("log", "failures", "states"):
        monkeypatch.setattr(Recorded, name, [])
    return Recorded


SET_UP = ["create", "git", "scp", "uv"]


def test_a_preempted_slice_is_asked_for_again(recorded):
    recorded.failures = [True, False]
    recorded.states = ["WAITING_FOR_RESOURCES", "ACTIVE", "SUSPENDED", "ACTIVE"]
    tpu_vm.main(["train", *TPU_VM])
    again = ["experiments.train", "delete", *SET_UP, "experiments.train", "delete"]
    assert recorded.log == SET_UP + again and not recorded.states


def test_a_command_that_keeps_failing_is_given_up(recorded):
    recorded.failures, recorded.states = [True, True], ["ACTIVE"] * 3
    with pytest.raises(SystemExit, match="failed 2 times on a slice that is there"):
        tpu_vm.main(["train", *TPU_VM, "--retries=1"])
    again = [*SET_UP[1:], "experiments.train"]
    assert recorded.log == ["create", *again, *again]


def test_a_step_that_fails_ends_with_an_error(recorded):
    recorded.failures = [True]
    with pytest.raises(SystemExit, match="run failed: the output"):
        tpu_vm.main(["run", *TPU_VM])


def test_a_slice_that_cannot_be_had_is_told(recorded):
    recorded.states = ["FAILED"]
    with pytest.raises(SystemExit, match="is FAILED: `status` says why"):
        tpu_vm.main(["train", *TPU_VM])


def test_starting_a_job_needs_no_packages():
    names = set()
    for path in (ROOT / "experiments" / "tpu").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(str(node.module).split(".")[0])
    assert names <= {"experiments", *sys.stdlib_module_names}


def test_the_batch_script_is_bash_that_requeues(tmp_path):
    options, flags = commands.parse(
        commands.parser("", ("train",)), ["train", "--workdir=/w/r"], trains=("train",)
    )
    vars(options).update(nodes=1, gpus=1, time=None, partition=None, python="python")
    text = slurm.script(options, flags)
    assert slurm.PREEMPTED == exits.PREEMPTED
    for name, code in (("srun", exits.PREEMPTED), ("scontrol", 0)):
        file = tmp_path / name
        file.write_text(f"#!/bin/bash\necho {name} $* >> {tmp_path}/log\nexit {code}\n")
        file.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "SLURM_JOB_ID": "17"}
    done = subprocess.run(["bash"], input=text, text=True, env=environment)
    assert done.returncode == exits.PREEMPTED
    log = (tmp_path / "log").read_text().splitlines()
    assert log[0].startswith("srun --kill-on-bad-exit=1 python -m experiments.train")
    assert log[1] == "scontrol requeue 17"


def test_the_image_copies_what_is_there():
    text = (ROOT / gke.DOCKERFILE).read_text()
    for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE):
        for name in line.split():
            assert list(ROOT.glob(name)), name
