"""Tests of omnivla_jax.train.input_feed: rows, their places on a mesh, waiting."""

import threading
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.train import input_feed
from tests.helpers import virtual_devices


class Step:
    """An output of a call that is ready when it is told."""

    def __init__(self, number=0):
        self.number, self.finished = number, threading.Event()

    def __int__(self):
        return self.number

    def is_ready(self):
        return self.finished.is_set()


class Device:
    """A device of a process."""

    def __init__(self, process):
        self.process_index = process


def layout_of(processes, devices, size) -> Any:
    """Rows split over all devices, process by process."""
    each = size // (processes * devices)
    return {
        Device(number // devices): (slice(number * each, (number + 1) * each),)
        for number in range(processes * devices)
    }


@pytest.mark.parametrize("processes, devices", [(1, 8), (2, 4), (8, 1), (3, 2)])
def test_processes_share_the_rows_without_overlap(processes, devices):
    size = 2 * processes * devices
    layout = layout_of(processes, devices, size)
    rows = [input_feed.process_rows(layout, p, size) for p in range(processes)]
    assert {len(part) for part in rows} == {2 * devices}
    assert np.concatenate(rows).tolist() == list(range(size))


def test_devices_with_the_same_rows_count_once():
    replicated: Any = {Device(number % 2): (slice(0, 4),) for number in range(4)}
    for process in range(2):
        rows = input_feed.process_rows(replicated, process, 4)
        assert rows.tolist() == [0, 1, 2, 3]


def test_without_a_mesh_all_rows_are_made_here():
    rows = input_feed.local_rows(None, 3)
    batches = np.arange(6).reshape(2, 3)
    placed = input_feed.put_rows({"a": batches}, rows, mesh=None, size=3)
    np.testing.assert_array_equal(placed["a"], batches)


def test_eight_devices_hold_their_rows():
    virtual_devices.run("pytest", "-q", "tests/helpers/input_devices.py")


@pytest.mark.slow
def test_two_processes_make_a_half_each():
    pytest.importorskip("grain")
    virtual_devices.run_two_processes("tests.helpers.input_processes")


def test_the_next_batches_are_fetched_meanwhile():
    fetched: list[threading.Thread] = []
    sought: list[int] = []

    def fetch():
        fetched.append(threading.current_thread())
        return len(fetched)

    feed = input_feed.InputFeed(fetch, sought.append)
    assert not fetched
    first, waited = feed.take(jnp.asarray(7))
    assert (first, sought) == (1, [7]) and 0 < waited <= 1
    busy: Any = Step()  # never ready: the device computes
    second, waited = feed.take(busy)
    assert second == 2 and 0 <= waited <= 1
    assert sought == [7]
    assert threading.main_thread() not in fetched


def test_waiting_counts_only_while_the_device_is_idle():
    """A busy device hides the whole time of fetching, an idle one none of it."""
    gate = threading.Event()

    def fetch():
        gate.wait()
        return "batch"

    def take(step, opened):
        feed = input_feed.InputFeed(fetch, lambda step: None)
        threading.Timer(0.05, opened).start()
        return feed.take(step)[1]

    idle, busy = Step(), Step()
    idle.finished.set()
    all_of_it = take(idle, gate.set)
    gate.clear()
    assert take(busy, gate.set) < 0.5 * all_of_it


def test_errors_of_fetching_reach_the_loop():
    def fetch():
        raise ValueError("a.parquet, row 3 is no whole picture")

    feed = input_feed.InputFeed(fetch, lambda step: None)
    with pytest.raises(ValueError, match="^a.parquet, row 3"):
        feed.take(jnp.asarray(0))
