"""Progress of long phases: a tqdm bar with rate and time left, then one line.

    with progress.phase("Online RL (gspo)", total=60, unit="update") as bar:
        with bar.compiling():
            step = step.lower(state, key).compile()
        for _ in range(60):
            ...
            bar.advance(success=0.42)
    wall_seconds["online"] = bar.seconds

Where the output is no terminal, a plain line now and then replaces the bar.
"""

import contextlib
import os
import sys
import threading
import time
from typing import Iterator, TextIO

from tqdm import tqdm

NAME_WIDTH = 18
PLAIN_INTERVAL = 30.0  # seconds between lines where there is no terminal
REFRESH = 0.1  # seconds at least between two refreshes of a bar
TICK = 0.5  # seconds between two refreshes of the clock while a program compiles
COUNTS = "{n_fmt}/{total_fmt}, {rate_fmt}, {remaining} left{postfix}"
BAR_FORMAT = "{desc} {percentage:3.0f}% {bar} " + COUNTS
PLAIN_FORMAT = "{desc} " + COUNTS
OPEN_FORMAT = "{desc} {n_fmt}, {rate_fmt}{postfix}"  # without a total
COMPILING_FORMAT = "{desc} …{postfix}"


class ProgressBar:
    """A running phase. Make one with `phase`; `seconds` stay readable afterwards."""

    def __init__(self, name: str, total: int | None, unit: str, stream: TextIO) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self.compile_seconds = 0.0
        self.numbers: dict[str, float] = {}
        self._stream = stream
        self._terminal = stream.isatty()
        self._start = self._last_line = time.perf_counter()
        self._end: float | None = None
        bounded = BAR_FORMAT if self._terminal else PLAIN_FORMAT
        self._format = OPEN_FORMAT if total is None else bounded
        self._nowhere = open(os.devnull, "w", encoding="utf-8")
        self._bar = tqdm(
            total=total,
            desc=f"{name:<{NAME_WIDTH}}",
            unit=unit,
            file=stream if self._terminal else self._nowhere,
            leave=False,
            dynamic_ncols=True,
            mininterval=REFRESH,
            smoothing=0,  # the rate is the mean since the start
            bar_format=COMPILING_FORMAT,
        )

    @property
    def seconds(self) -> float:
        """Wall seconds since the phase began, compilation included."""
        return (self._end or time.perf_counter()) - self._start

    def advance(self, count: int = 1, **numbers: float) -> None:
        """Count finished units; `numbers` (name=value) are shown beside the rate."""
        self.done += count
        self.numbers |= numbers
        self._bar.bar_format = self._format
        self._bar.set_postfix_str(_format(self.numbers), refresh=False)
        self._bar.update(count)
        if self.done == self.total:
            self._bar.refresh()
        self._print_if_due()

    @contextlib.contextmanager
    def compiling(self, activity: str = "compiling") -> Iterator[None]:
        """Show a running clock while XLA compiles; this time stays out of the rate."""
        start = time.perf_counter()
        finished = threading.Event()

        def tick() -> None:
            while not finished.wait(TICK):
                clock = duration(time.perf_counter() - start)
                self._bar.set_postfix_str(f"{activity}, {clock}")
                self._print_if_due()

        self._bar.bar_format = COMPILING_FORMAT
        self._bar.set_postfix_str(activity)
        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            finished.set()
            ticker.join()
            spent = time.perf_counter() - start
            self.compile_seconds += spent
            self._bar.start_t += spent
            self._bar.set_postfix_str("")

    def _print_if_due(self) -> None:
        """Print the bar's text where there is no terminal, now and then."""
        now = time.perf_counter()
        if not self._terminal and now - self._last_line >= PLAIN_INTERVAL:
            self._last_line = now
            print(self._bar, file=self._stream, flush=True)

    def close(self, *, summary: bool) -> None:
        """Stop the clock, remove the bar and, if asked, leave one line in its place."""
        self._end = time.perf_counter()
        self._bar.close()
        self._nowhere.close()
        if summary:
            print(self.summary(), file=self._stream, flush=True)

    def summary(self) -> str:
        """The line that a finished phase leaves."""
        count = f"{self.done} {self.unit if self.done == 1 else self.unit + 's'}"
        text = (
            f"{count}, {duration(self.seconds)}"
            if self.done
            else duration(self.seconds)
        )
        if self.compile_seconds >= 1:
            text += f" ({duration(self.compile_seconds)} of it compiling)"
        numbers = _format(self.numbers)
        text = f"{text}, {numbers}" if numbers else text
        return f"{self.name:<{NAME_WIDTH}} {text}"


@contextlib.contextmanager
def phase(
    name: str,
    *,
    total: int | None = None,
    unit: str = "step",
    stream: TextIO | None = None,
) -> Iterator[ProgressBar]:
    """Time a phase and show its progress on `stream` (standard output).

    Args:
      name: the title of the phase.
      total: how many units there will be; None where this is unknown.
      unit: the singular of what `advance` counts.
    """
    running = ProgressBar(name, total, unit, stream or sys.stdout)
    try:
        yield running
    except BaseException:
        running.close(summary=False)
        raise
    running.close(summary=True)


def note(name: str, text: str, *, stream: TextIO | None = None) -> None:
    """Print one line like that of a finished phase, for example for a skipped one."""
    print(f"{name:<{NAME_WIDTH}} {text}", file=stream or sys.stdout, flush=True)


def duration(seconds: float) -> str:
    """Seconds in readable units: 0.4 s, 12 s, 3 min 05 s, 1 h 02 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _format(numbers: dict[str, float]) -> str:
    """Each number to three digits behind its name."""
    pairs = [f"{name.replace('_', ' ')} {x:.3g}" for name, x in numbers.items()]
    return ", ".join(pairs)
