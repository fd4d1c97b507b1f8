"""Trains on a TPU slice by queued resources and ssh to all of its hosts.

    python -m experiments.tpu.tpu_vm train --zone=us-central1-a --type=v5litepod-16
        --workdir=gs://BUCKET/runs/mine [--spot] [--dry-run]
        -- --config.policy.preset=small

`train` asks for the slice, waits for it, copies the committed files of this checkout,
installs, and runs the same command on every host. Where the slice is taken away, it
asks for another and continues from the newest checkpoint. `create`, `setup` and `run`
are its steps, `status` and `delete` what is left. Needs gcloud with a project, and a
bucket that the slice may write to.
"""

import argparse
import sys
import time
from typing import Sequence

from experiments.tpu.commands import PACKAGE, Shell, parse, parser, train_command

ACTIONS = ("train", "create", "setup", "run", "status", "delete")
# The runtime of a slice, by the beginning of its type.
RUNTIMES = {
    "v5litepod-": "v2-alpha-tpuv5-lite",
    "v5p-": "v2-alpha-tpuv5",
    "v6e-": "v2-alpha-tpuv6e",
    "v": "tpu-ubuntu2204-base",
}
POLL_SECONDS = 60
ARCHIVE = f"{PACKAGE}.tar.gz"
# The images have Python 3.10: uv brings a newer one.
SETUP = f"""\
mkdir -p {PACKAGE} && tar -xzf {ARCHIVE} -C {PACKAGE} && cd {PACKAGE} && \
(test -x ~/.local/bin/uv || curl -LsSf https://astral.sh/uv/install.sh | sh) && \
~/.local/bin/uv venv --quiet --allow-existing --python 3.11 .venv && \
~/.local/bin/uv pip install --quiet --python .venv --requirement requirements.txt \
--requirement experiments/tpu/requirements.txt"""


class Slice:
    """The commands of one slice."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.shell = options, Shell(options.dry_run)
        self._place = ["--zone", options.zone]
        if options.project:
            self._place += ["--project", options.project]

    def queued(self, action: str, *arguments: str) -> list[str]:
        """A command about the queued resource, which has the name of the slice."""
        command = ["gcloud", "compute", "tpus", "queued-resources", action]
        return [*command, self.options.name, *self._place, *arguments]

    def on_all_hosts(self, command: str) -> list[str]:
        """A command that runs `command` on every host at the same time."""
        ssh = ["gcloud", "compute", "tpus", "tpu-vm", "ssh", self.options.name]
        return [*ssh, *self._place, "--worker=all", f"--command={command}"]

    def state(self) -> str:
        """ACTIVE, WAITING_FOR_RESOURCES, SUSPENDED and so on; "" if there is none."""
        command = self.queued("describe", "--format=value(state.state)")
        return self.shell.read(*command, dry="ACTIVE")

    def create(self) -> None:
        """Ask for the slice and wait until it is there."""
        options = self.options
        runtime = options.runtime or next(
            runtime
            for beginning, runtime in RUNTIMES.items()
            if options.type.startswith(beginning)
        )
        kind = [f"--accelerator-type={options.type}", f"--runtime-version={runtime}"]
        kind += ["--spot"] if options.spot else []
        self.shell.require(*self.queued("create", f"--node-id={options.name}", *kind))
        while (state := self.state()) != "ACTIVE":
            if state in ("FAILED", "SUSPENDED"):
                sys.exit(
                    f"{options.name} is {state}: `status` says why; `delete` it, then "
                    "try another --zone or --type."
                )
            time.sleep(POLL_SECONDS)

    def setup(self) -> bool:
        """Copy the committed files to every host and install; whether all succeeded."""
        archive = ["git", "archive", "--format=tar.gz", f"--output={ARCHIVE}", "HEAD"]
        copy = ["gcloud", "compute", "tpus", "tpu-vm", "scp", ARCHIVE]
        copy += [f"{self.options.name}:", *self._place, "--worker=all"]
        commands = (archive, copy, self.on_all_hosts(SETUP))
        return all(self.shell.run(*command) for command in commands)

    def run(self, flags: Sequence[str]) -> bool:
        """Run training on every host until it ends; whether all hosts finished."""
        command = train_command(".venv/bin/python", self.options, flags)
        return self.shell.run(*self.on_all_hosts(f"cd {PACKAGE} && {command}"))

    def delete(self) -> None:
        """Delete the slice, whatever it is doing."""
        self.shell.require(*self.queued("delete", "--force", "--quiet"))

    def train(self, flags: Sequence[str]) -> None:
        """Train to the end, on as many slices as it takes, then delete the last."""
        failures = 0
        self.create()
        while not (self.setup() and self.run(flags)):
            time.sleep(POLL_SECONDS)  # one that was taken away is ACTIVE for a while
            if self.state() == "ACTIVE":
                failures += 1
                if failures > self.options.retries:
                    sys.exit(
                        f"Training failed {failures} times on a slice that is there; "
                        f"its output says why. {self.options.name} is kept: `delete` "
                        "it when you are done."
                    )
                continue
            self.delete()
            self.create()
        self.delete()


def main(arguments: Sequence[str]) -> None:
    """Do one action."""
    made = parser(__doc__ or "", ACTIONS)
    made.add_argument("--zone", required=True)
    made.add_argument("--type", required=True, help="such as v5litepod-16 or v6e-8")
    made.add_argument("--project", help="default: gcloud's")
    made.add_argument("--runtime", help="of the hosts; default: by the type")
    made.add_argument("--spot", action="store_true", help="cheaper, may be taken away")
    made.add_argument(
        "--retries", type=int, default=3, help="after failures that are no preemption"
    )
    options, flags = parse(made, arguments, trains=("train", "run"))
    slice_, succeeded = Slice(options), None
    if options.action == "status":
        slice_.shell.require(*slice_.queued("describe"))
    elif options.action in ("train", "run"):
        succeeded = getattr(slice_, options.action)(flags)
    else:
        succeeded = getattr(slice_, options.action)()
    if succeeded is False:
        sys.exit(f"{options.action} failed: the output of the command above says why.")


if __name__ == "__main__":
    main(sys.argv[1:])
