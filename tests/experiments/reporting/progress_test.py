"""Tests of experiments.reporting.progress: tidy lines, with and without a terminal."""

import io
import re
import time

import pytest

from experiments.reporting import progress


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.04, "0.0 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3725, "1 h 02 min"),
    ],
)
def test_duration(seconds, words):
    assert progress.duration(seconds) == words


def test_a_finished_phase_leaves_exactly_one_line():
    stream = io.StringIO()
    with progress.phase("Evaluation", total=3, unit="episode", stream=stream) as bar:
        for _ in range(3):
            bar.advance(success=0.25)
    assert stream.getvalue() == "Evaluation         3 episodes, 0.0 s, success 0.25\n"
    frozen = bar.seconds
    assert bar.seconds == frozen


def test_compile_time_is_shown_apart(monkeypatch):
    monkeypatch.setattr(progress, "TICK", 0.01)
    monkeypatch.setattr(progress, "REFRESH", 0.0)
    stream = Terminal()
    with progress.phase("Training", total=2, unit="update", stream=stream) as bar:
        with bar.compiling():
            time.sleep(1.1)
        bar.advance()
        assert bar.compile_seconds >= 1.1
        assert "left" in stream.getvalue()
    text = stream.getvalue()
    assert "compiling, 0." in text
    assert "of it compiling)" in text.splitlines()[-1]
    assert "update/s" in text or "s/update" in text


def test_the_rate_leaves_compilation_out(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.0)
    stream = io.StringIO()
    with progress.phase("Training", total=10, unit="update", stream=stream) as bar:
        with bar.compiling():
            time.sleep(1.0)
        time.sleep(0.01)
        bar.advance()
    rate = re.search("1/10, *([0-9.]+)update/s, 00:00 left", stream.getvalue())
    assert rate and float(rate[1]) > 5


def test_a_terminal_gets_a_bar_that_vanishes():
    stream = Terminal()
    with progress.phase("Training", total=2, unit="update", stream=stream) as bar:
        bar.advance(2, loss=0.5)
    text = stream.getvalue()
    assert "100%" in text and "2/2" in text
    # After the last carriage return there is only the summary.
    assert text.split("\r")[-1] == "Training           2 updates, 0.0 s, loss 0.5\n"


def test_without_a_terminal_plain_lines_are_rare(monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_INTERVAL", 0.05)
    stream = io.StringIO()
    with progress.phase("Training", total=40, unit="update", stream=stream) as bar:
        for _ in range(40):
            time.sleep(0.005)
            bar.advance()
    lines = stream.getvalue().splitlines()
    assert 2 <= len(lines) <= 12
    assert all("\r" not in line and line.startswith("Training") for line in lines)
    assert "/40, " in lines[0] and "left" in lines[0]


def test_an_unknown_total_and_an_interruption(capsys):
    with pytest.raises(KeyboardInterrupt):
        with progress.phase("Building the scene"):
            raise KeyboardInterrupt
    assert capsys.readouterr().out == ""
    with progress.phase("Building the scene") as bar:
        bar.advance()
        bar.advance()
    assert "2 steps" in capsys.readouterr().out


def test_note(capsys):
    progress.note("Demonstrations", "120 found")
    assert capsys.readouterr().out == "Demonstrations     120 found\n"
