"""Trains on GPU nodes of a Slurm cluster, one process a GPU.

    python -m experiments.tpu.slurm train --nodes=2 --gpus=8 --time=24:00:00
        --workdir=/shared/runs/mine [--partition=gpu] [--dry-run]
        -- --config.policy.preset=small

Submits a batch job that asks to be requeued. Slurm signals SIGTERM before it takes the
nodes away or the time is over: every process then saves the same checkpoint, and the
job queues itself again. --workdir lies on a disk that all nodes share.
"""

import argparse
import sys
from typing import Sequence

from experiments.tpu.commands import Shell, parse, parser, train_command

ACTIONS = ("train", "status", "delete")
PREEMPTED = 143  # exit code of a run that SIGTERM has ended, see core/exits.py
GRACE_SECONDS = 120  # from the signal to the end of the time limit


def script(options: argparse.Namespace, flags: Sequence[str]) -> str:
    """The batch script of a job.

    Args:
      options: of the command line.
      flags: of experiments.train.
    """
    settings = {
        "job-name": options.name,
        "nodes": options.nodes,
        # All processes of a node see all of its GPUs, and JAX gives each the one of its
        # number: --gpus-per-task would hide the others from it.
        "ntasks-per-node": options.gpus,
        "gpus-per-node": options.gpus,
        "time": options.time,
        "partition": options.partition,
        "signal": f"TERM@{GRACE_SECONDS}",
        "output": f"{options.name}-%j.log",
        "open-mode": "append",
    }
    lines = [f"#SBATCH --{name}={value}" for name, value in settings.items() if value]
    command = train_command(options.python, options, flags)
    return "\n".join(
        [
            "#!/bin/bash",
            *lines,
            "#SBATCH --requeue",
            f"srun --kill-on-bad-exit=1 {command}",
            "code=$?",
            f"if [ $code -eq {PREEMPTED} ]; then scontrol requeue $SLURM_JOB_ID; fi",
            "exit $code",
            "",
        ]
    )


def main(arguments: Sequence[str]) -> None:
    """Do one action."""
    made = parser(__doc__ or "", ACTIONS)
    made.add_argument("--nodes", type=int, default=1)
    made.add_argument("--gpus", type=int, default=8, help="of a node")
    made.add_argument("--time", help="limit, HH:MM:SS; default: the partition's")
    made.add_argument("--partition", help="default: the cluster's")
    made.add_argument("--python", default=".venv/bin/python", help="on the nodes")
    options, flags = parse(made, arguments, trains=("train",))
    shell = Shell(options.dry_run)
    if options.action == "train":
        shell.require("sbatch", text=script(options, flags))
    elif options.action == "status":
        shell.require("squeue", "--me", f"--name={options.name}")
    else:
        shell.require("scancel", "--me", f"--name={options.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
