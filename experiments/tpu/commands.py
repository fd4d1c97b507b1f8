"""What the launchers of this folder share: flags, the training command, a dry run.

Only the standard library is imported: the machine that starts a job needs no JAX.
"""

import argparse
import shlex
import subprocess
import sys
from dataclasses import dataclass
from typing import Sequence

PACKAGE = (
    "omnivla-rl"  # folder of the checkout on the machines, name of images and jobs
)


@dataclass(frozen=True)
class Shell:
    """Runs commands, or only prints them."""

    dry_run: bool

    def run(self, *command: str, text: str = "") -> bool:
        """Print a command and run it; the output goes to the terminal.

        Args:
          *command: program and arguments.
          text: its standard input.

        Returns:
          Whether it succeeded; always so in a dry run.
        """
        ending = f" <<'EOF'\n{text}EOF" if text else ""
        print(shlex.join(command) + ending, flush=True)
        if self.dry_run:
            return True
        return not subprocess.run(command, input=text or None, text=True).returncode

    def require(self, *command: str, text: str = "") -> None:
        """`run` that ends this launcher where the command fails."""
        if not self.run(*command, text=text):
            sys.exit(f"Failed: {shlex.join(command)[:200]}. Its own output says why.")

    def read(self, *command: str, dry: str) -> str:
        """The output of a command, "" where it fails; in a dry run `dry`."""
        print(shlex.join(command), flush=True)
        if self.dry_run:
            return dry
        done = subprocess.run(command, capture_output=True, text=True)
        return "" if done.returncode else done.stdout.strip()


def parser(description: str, actions: Sequence[str]) -> argparse.ArgumentParser:
    """A parser of the flags that all launchers have."""
    made = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Whatever follows -- is handed to experiments.train.",
        allow_abbrev=False,
    )
    made.add_argument("action", choices=actions)
    made.add_argument("--name", default=PACKAGE, help="of the machines or the job")
    made.add_argument("--workdir", help="folder of the run that all machines see")
    made.add_argument(
        "--compilation-cache", help="default: jax_cache beside the folder of the run"
    )
    made.add_argument(
        "--dry-run", action="store_true", help="print the commands, run none of them"
    )
    return made


def parse(
    made: argparse.ArgumentParser, arguments: Sequence[str], *, trains: Sequence[str]
) -> tuple[argparse.Namespace, list[str]]:
    """Parse a command line.

    Args:
      made: of `parser`.
      arguments: without the program's name.
      trains: actions that need --workdir.

    Returns:
      The flags, and the flags behind -- for training.
    """
    arguments = list(arguments)
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options, flags = made.parse_args(arguments[:cut]), arguments[cut + 1 :]
    if options.action in trains and not options.workdir:
        made.error(f"{options.action} needs --workdir, such as gs://bucket/runs/mine")
    return options, flags


def train_command(
    python: str, options: argparse.Namespace, flags: Sequence[str]
) -> str:
    """The command that every process of a run executes, first time and after a restart.

    Args:
      python: the interpreter on the machines.
      options: of `parse`.
      flags: of experiments.train.

    Returns:
      A line for a shell.
    """
    parent = options.workdir.rstrip("/").rpartition("/")[0]
    cache = options.compilation_cache or f"{parent}/jax_cache"
    command = [python, "-m", "experiments.train", "--distributed", "--resume"]
    command += [f"--workdir={options.workdir}", f"--compilation_cache={cache}"]
    return shlex.join([*command, *flags])
