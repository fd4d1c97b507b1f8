"""Tests of the launcher: a stand-in for LIBERO, a server of constant actions."""

import json
import sys
import threading

import numpy as np
import pytest
from websockets.sync.server import serve

from experiments.serving import codec
from tests.helpers import launchers, stand_in_libero

TASKS = {7: "turn_on_the_stove", 8: "put_the_bowl_on_the_plate"}
REFUSED = "put_the_wine_bottle_on_the_rack"
ACTIONS = np.tile(np.array([0.25, 0, 0, 0, 0, 0, 1], np.float32), (8, 1))


def answer(connection):
    """Answer every request; refuse those of one task."""
    connection.send(codec.pack({"image_size": 32, "instructions": ["a"]}))
    for frame in connection:
        request = codec.unpack(frame)
        assert request["observation/image"].shape == (224, 224, 3)
        if "rack" in request["prompt"]:
            connection.send("Traceback\nValueError: no such prompt")
            return
        connection.send(codec.pack({"actions": ACTIONS}))


@pytest.fixture
def server():
    with serve(answer, "127.0.0.1", 0, compression=None) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield "ws://127.0.0.1:%d" % running.socket.getsockname()[1]
        running.shutdown()


def launch(folder, server, *options):
    """The launcher's exit code, standard output and standard error."""
    done = launchers.run(
        "experiments.evaluate_real",
        *options,
        "--suite=libero_goal",
        f"--server={server}",
        "--episodes=2",
        f"--libero_python={sys.executable}",
        PYTHONPATH=f"{folder}:{launchers.ROOT}",
    )
    return done.returncode, done.stdout, done.stderr


def test_success_by_task_as_json_and_files(tmp_path, server):
    package = stand_in_libero.write(tmp_path)
    # Success at the first position beyond 1, after ten waiting steps that move nothing.
    starts = np.array([[0.0, 0.125, 0, 0], [0.0, -9.0, 0, 0]])
    for name in TASKS.values():
        stand_in_libero.write_states(package, f"libero_goal/{name}", starts)
    code, output, words = launch(
        tmp_path, server, "--tasks=7,8", "--max_steps=20", f"--out={tmp_path / 'out'}"
    )
    assert code == 0, words
    summary = json.loads(output)
    assert summary["verdicts"] == [1, 0, 1, 0] and summary["steps"] == [4, 20, 4, 20]
    assert summary["per_task"]["turn on the stove"]["success"] == 0.5
    assert summary["server"] == {"image_size": 32}
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == summary
    lines = (tmp_path / "out" / "episodes.jsonl").read_text().splitlines()
    assert len(lines) == 4


def test_too_few_states_are_one_line(tmp_path, server):
    package = stand_in_libero.write(tmp_path)
    states = np.zeros((1, 4))
    stand_in_libero.write_states(package, f"libero_goal/{TASKS[7]}", states)
    code, _, words = launch(tmp_path, server, "--tasks=7")
    assert code and "--episodes=2" in words and "holds 1 states" in words
    assert "Traceback" not in words


def test_a_failing_task_ends_the_others_at_once(tmp_path, server):
    package = stand_in_libero.write(tmp_path)
    far = np.array([[0.0, -1e9, 0, 0]] * 2)  # from where no episode ends
    for name in (TASKS[7], REFUSED):
        stand_in_libero.write_states(package, f"libero_goal/{name}", far)
    code, _, words = launch(tmp_path, server, "--tasks=7,9", "--max_steps=1000000000")
    assert code == 1 and "no such prompt" in words.splitlines()[-1]
    assert "Traceback (most" not in words


def test_no_server_is_one_line(tmp_path):
    code, _, words = launch(tmp_path, "ws://127.0.0.1:1", "--tasks=7")
    assert code and "experiments.serve" in words and "Traceback" not in words
