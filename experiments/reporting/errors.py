"""Turns errors that a user can act on into one clear line and an exit code.

A launcher reads `CONFIG = errors.define_config(path)` and ends with `errors.run(main)`.
Interruptions exit with 130, SIGTERM while training with 143, the loss of another
process with 134, wrong flags with 2, a full disk or a refused value with 1;
`--traceback` shows where an error arose. Other errors are defects of this code and keep
their traceback.
"""

import contextlib
import errno
import gc
import os
import sys
import traceback
from typing import Any, Callable, Iterator, NoReturn

from absl import app, flags
from ml_collections import config_flags

from omnivla_jax.core import exits
from omnivla_jax.policy.pretrained.load import MismatchError

INTERRUPTED, USAGE, FAILED = 130, 2, 1
MAX_LINE = 500
# XLA's words, between CPUs, between GPUs and of the service that all processes join, at
# whose barrier a process may find itself alone.
PEER_IS_GONE = ("Gloo", "NCCL", "coordination service", "CoordinationService")
EXTRA = "omnivla-rl["  # in an ImportError that names what to install

_TRACEBACK = flags.DEFINE_boolean(
    "traceback", False, "Show where an error arose, not only what to do about it."
)
flags.disclaim_key_flags()  # so that --config is the launcher's own, in its --help


def run(main: Callable[[list[str]], Any]) -> NoReturn:
    """Parse the command line and run `main(argv)`, like `absl.app.run`, in one line."""
    # Tracing makes many objects that stay: looking for garbage took an eighth of it.
    gc.set_threshold(100_000)
    with one_line():
        app.run(main, flags_parser=parse)
    raise SystemExit(0)


def define_config(default: str) -> flags.FlagHolder[Any]:
    """Define `--config`, a locked ml_collections file; `default` unless given.

    ml_collections parses `--config.x.y=...` as soon as the flag is defined, so that
    misspelt names have to be caught here.
    """
    with one_line(), _as_flag_errors():
        return config_flags.DEFINE_config_file("config", default, lock_config=True)


def parse(arguments: list[str]) -> list[str]:
    """Parse absl flags; every wrong one raises a `flags.Error`."""
    with _as_flag_errors():
        remaining = flags.FLAGS(arguments)
        if "config" in flags.FLAGS:
            flags.FLAGS.config.keys()  # a file that did not load only raises when used
        return remaining


@contextlib.contextmanager
def _as_flag_errors() -> Iterator[None]:
    """Convert whatever ml_collections raised on loading or assigning."""
    try:
        yield
    except flags.Error:
        raise
    except Exception as error:  # a config file is a program and may raise anything
        raise flags.Error(_message(error)) from error


@contextlib.contextmanager
def one_line() -> Iterator[None]:
    """End the process with one line on stderr on errors that a user can act on.

    Also a decorator, `@one_line()`.
    """
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        explanation = explain(error, resumable="resume" in flags.FLAGS)
        if explanation is None:
            # One of several processes prints its traceback here, and is gone.
            exits.leave(FAILED, last_words=traceback.format_exc())
            raise
        line, code = explanation
        if isinstance(error, MismatchError):
            print(error, file=sys.stderr)  # every name, before the line that counts
        parsed = flags.FLAGS.is_parsed() and _TRACEBACK.value
        if parsed or "--traceback" in sys.argv:  # also when flags are wrong
            traceback.print_exc()
        # A progress bar may have left the cursor in the middle of a line.
        start = "\r\033[K" if sys.stderr.isatty() else ""
        print(start + line, file=sys.stderr, flush=True)
        if code != exits.PREEMPTED:  # which all processes have in common
            exits.leave(code)
        raise SystemExit(code) from None


def explain(error: BaseException, *, resumable: bool) -> tuple[str, int] | None:
    """The line and exit code of an error; None for a defect of this code.

    `resumable`: the launcher continues what was interrupted under --resume.
    """
    before, again = ":", "run the same command again."
    if resumable:
        before = ". The last complete checkpoint is intact:"
        again = "run the same command with --resume to continue."
    # XLA turns Ctrl-C inside a host callback into an error of its own.
    wrapped = isinstance(error, RuntimeError) and "KeyboardInterrupt" in str(error)
    if wrapped or isinstance(error, KeyboardInterrupt):
        return f"Interrupted{before} {again}", INTERRUPTED
    from_xla = isinstance(error, (RuntimeError, ValueError))
    if from_xla and any(words in str(error) for words in PEER_IS_GONE):
        return (
            "Another process of this run has stopped. The last complete checkpoint is "
            "intact: start all processes again with --resume.",
            exits.PEER_LOST,
        )
    if isinstance(error, exits.Preempted):
        return str(error), exits.PREEMPTED
    if _is_disk_full(error):
        return f"The disk is full{before} free some space, then {again}", FAILED
    if isinstance(error, (flags.Error, app.UsageError)):
        return f"Wrong flag: {_message(error)} (--help lists the flags.)", USAGE
    if isinstance(error, MemoryError):
        return "Out of memory: make the batch or the number of groups smaller.", FAILED
    if isinstance(error, ImportError) and EXTRA in str(error):
        return f"Error: {_message(error)}", FAILED
    if isinstance(error, (ValueError, OSError, FloatingPointError)):
        return f"Error: {_message(error)}", FAILED
    return None


def _is_disk_full(error: BaseException | None) -> bool:
    """Whether ENOSPC is a cause; C++ libraries only mention its text."""
    while error is not None:
        code = getattr(error, "errno", None)
        if code in (errno.ENOSPC, errno.EDQUOT):
            return True
        if os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _message(error: BaseException) -> str:
    """The error's message on one line of bounded length; its type when it has none."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]  # ml_collections wraps one error in another
    text = error.summary if isinstance(error, MismatchError) else str(error)
    if isinstance(error, KeyError) and error.args:
        text = f"unknown name {error.args[0]}"  # str() of a KeyError adds quotes
    if isinstance(error, OSError) and error.strerror and error.filename:
        text = f"{error.filename}: {error.strerror}. Check that path and its rights."
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"
