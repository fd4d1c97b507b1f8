"""Tests of experiments.reporting.errors: one line and the right exit code."""

import errno
import functools
import subprocess
import sys

import pytest
from absl import flags

from experiments.reporting import errors
from omnivla_jax.core import exits

CONFIG = """
from ml_collections import config_dict

def get_config():
    return config_dict.create(seed=0, rl=dict(group_size=8))
"""
LAUNCHER = """
import sys
from absl import flags
from experiments.reporting import errors

CONFIG = errors.define_config(sys.argv.pop(1))
flags.DEFINE_string("raises", "", "what main raises")
flags.DEFINE_boolean("resume", False, "continue")

def main(argv):
    if flags.FLAGS.raises:
        raise eval(flags.FLAGS.raises)
    print("group size", CONFIG.value.rl.group_size)

errors.run(main)
"""


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    config = tmp_path_factory.mktemp("configs") / "small.py"
    config.write_text(CONFIG)
    return functools.partial(_launch, str(config))


def _launch(*arguments):
    command = [sys.executable, "-c", LAUNCHER, *arguments]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.returncode, result.stdout, result.stderr


def test_success_prints_only_what_main_prints(launch):
    assert launch("--config.rl.group_size=16") == (0, "group size 16\n", "")


@pytest.mark.parametrize(
    "argument, code, words",
    [
        ("--raises=KeyboardInterrupt()", 130, "--resume"),
        ("--raises=OSError(28, 'No space left on device')", 1, "disk is full"),
        ("--raises=ValueError('unknown task 3:\\n use 0 to 2')", 1, "use 0 to 2"),
        ("--seeed=3", 2, "seeed"),
        ("--config.rl.grup_size=3", 2, "grup_size"),
        ("--config.rl.group_size=many", 2, "group_size"),
        ("--config=absent.py", 2, "absent.py"),
    ],
)
def test_failures_are_one_line_with_an_exit_code(launch, argument, code, words):
    returned, out, err = launch(argument)
    assert (returned, out) == (code, "")
    assert len(err.splitlines()) == 1, err
    assert words in err


def test_traceback_flag_shows_where(launch):
    code, _, err = launch("--raises=ValueError('bad')", "--traceback")
    assert code == 1
    assert "Traceback" in err and err.splitlines()[-1] == "Error: bad"


def test_a_defect_keeps_its_traceback(launch):
    code, _, err = launch("--raises=AssertionError('ours')")
    assert code == 1 and "Traceback" in err


@pytest.mark.parametrize(
    "error, code, words",
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1, "free some space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 1, "free some space"),
        (ValueError("UNKNOWN: write: No space left on device"), 1, "disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 1, "/x: Permission"),
        (FileNotFoundError("No checkpoint in runs/a"), 1, "No checkpoint in runs/a"),
        (MemoryError(), 1, "smaller"),
        (KeyboardInterrupt(), 130, "--resume"),
        (RuntimeError("INTERNAL: CpuCallback: KeyboardInterrupt"), 130, "--resume"),
        (
            RuntimeError("UNKNOWN: Gloo AllGather failed: Read error"),
            134,
            "all processes",
        ),
        (ValueError("UNKNOWN: Gloo AllGather failed: x"), 134, "all processes"),
        (
            RuntimeError(
                "DEADLINE_EXCEEDED: Barrier timed out. Id: b0::0.\n\nRPC: "
                "/xla.coordination.CoordinationService/Barrier "
                "[type.googleapis.com/tensorflow.CoordinationServiceError='']"
            ),
            134,
            "all processes",
        ),
        (exits.Preempted(7), 143, "The checkpoint of update 7 is saved"),
        (flags.UnrecognizedFlagError("sed"), 2, "--help"),
        (flags.Error("a\n  b"), 2, "a b"),
        (ValueError(), 1, "ValueError"),
        (ValueError("x" * 5000), 1, "…"),
    ],
)
def test_explain(error, code, words):
    line, found = errors.explain(error, resumable=True) or ("", 0)
    assert found == code and words in line
    assert "\n" not in line and len(line) < 600


def test_resuming_is_advised_where_it_can_be_done():
    for error in (KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")):
        line, _ = errors.explain(error, resumable=False) or ("", 0)
        assert "resume" not in line and "run the same command again" in line


def test_disk_full_is_found_beneath_other_errors():
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise ValueError("checkpoint failed") from error
    except ValueError as error:
        assert "disk is full" in str(errors.explain(error, resumable=False))


def test_defects_keep_their_traceback():
    assert errors.explain(TypeError("bug"), resumable=False) is None
    with pytest.raises(TypeError), errors.one_line():
        raise TypeError("bug")


def test_it_is_a_decorator_too(capsys):
    @errors.one_line()
    def function():
        raise ValueError("no such suite")

    with pytest.raises(SystemExit) as error:
        function()
    assert error.value.code == 1
    assert capsys.readouterr().err == "Error: no such suite\n"
