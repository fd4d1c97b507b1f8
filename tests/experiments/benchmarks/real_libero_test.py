"""The launcher without the real LIBERO: skipped in one line."""

import json
import subprocess
import sys


def launch(*options):
    command = [sys.executable, "-m", "experiments.benchmarks.real_libero", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def test_it_is_skipped_where_nothing_is_installed(tmp_path):
    code, output, words = launch(
        "--libero_python=no/python", f"--cache={tmp_path / 'none'}"
    )
    assert code == 0, words
    assert "make libero-env" in json.loads(output)["skipped"]


def test_a_folder_without_recordings_is_one_line(tmp_path):
    code, _, words = launch(
        "--libero_python=no/python",
        f"--cache={tmp_path}",
        "--suites=libero_goal",
    )
    assert code and "make libero-env" in words and "Traceback" not in words
