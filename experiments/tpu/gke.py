"""Trains on GKE: builds an image and submits it as a workload of xpk.

    python -m experiments.tpu.gke train --cluster=CLUSTER --zone=us-central1-a
        --type=v5litepod-16 --image=REGION-docker.pkg.dev/PROJECT/REPO/omnivla-rl
        --workdir=gs://BUCKET/runs/mine [--slices=2] [--dry-run]
        -- --config.policy.preset=small

`build` and `submit` are the two steps of `train`; `cluster` makes a cluster. A workload
whose machines are taken away is restarted up to --restarts times, from the newest
checkpoint: xpk does so at the exit codes of `core/exits.py`. Needs docker, gcloud and
xpk (pip install xpk).
"""

import argparse
import sys
from typing import Sequence

from experiments.tpu.commands import Shell, parse, parser, train_command

ACTIONS = ("train", "build", "submit", "cluster", "status", "delete")
DOCKERFILE = "experiments/tpu/Dockerfile"
GRACE_SECONDS = 120  # from SIGTERM to SIGKILL: for a step and its checkpoint


def build(options: argparse.Namespace, shell: Shell) -> None:
    """Build the image of this checkout and push it."""
    if not options.image:
        sys.exit("build needs --image=REGION-docker.pkg.dev/PROJECT/REPO/NAME.")
    command = ["docker", "build", "--platform=linux/amd64"]
    shell.require(*command, f"--file={DOCKERFILE}", f"--tag={options.image}", ".")
    shell.require("docker", "push", options.image)


def submit(options: argparse.Namespace, shell: Shell, flags: Sequence[str]) -> None:
    """Submit the training of an image that was pushed."""
    if not options.image:
        sys.exit("submit needs --image, which `build` has pushed.")
    # xpk signals the shell that runs the command: exec puts training in its place.
    command = f"exec {train_command('python', options, flags)}"
    shell.require(
        *_xpk(options, "workload", "create"),
        f"--workload={options.name}",
        f"--tpu-type={options.type}",
        f"--num-slices={options.slices}",
        f"--docker-image={options.image}",
        f"--max-restarts={options.restarts}",
        f"--termination-grace-period-seconds={GRACE_SECONDS}",
        f"--command={command}",
    )


def _xpk(options: argparse.Namespace, *action: str) -> list[str]:
    """The beginning of a command of xpk."""
    command = ["xpk", *action, f"--cluster={options.cluster}", f"--zone={options.zone}"]
    return command + ([f"--project={options.project}"] if options.project else [])


def main(arguments: Sequence[str]) -> None:
    """Do one action."""
    made = parser(__doc__ or "", ACTIONS)
    made.add_argument("--cluster", required=True)
    made.add_argument("--zone", required=True)
    made.add_argument("--type", default="v5litepod-16", help="of a slice")
    made.add_argument("--slices", type=int, default=1)
    made.add_argument("--project", help="default: gcloud's")
    made.add_argument("--image", help="where the image is pushed to")
    made.add_argument("--restarts", type=int, default=50)
    made.add_argument("--spot", action="store_true", help="for `cluster`")
    options, flags = parse(made, arguments, trains=("train", "submit"))
    shell = Shell(options.dry_run)
    if options.action in ("train", "build"):
        build(options, shell)
    if options.action in ("train", "submit"):
        submit(options, shell, flags)
    elif options.action == "cluster":
        shell.require(
            *_xpk(options, "cluster", "create"),
            f"--tpu-type={options.type}",
            f"--num-slices={options.slices}",
            "--spot" if options.spot else "--on-demand",
        )
    elif options.action == "status":
        shell.require(*_xpk(options, "workload", "list"))
    elif options.action == "delete":
        workload = f"--workload={options.name}"
        shell.require(*_xpk(options, "workload", "delete"), workload)


if __name__ == "__main__":
    main(sys.argv[1:])
