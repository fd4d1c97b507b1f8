"""Progress of long phases: a bar with rate and time left, then one tidy line.

    with progress.phase("Flow-GSPO", total=60, unit="update") as bar:
        with bar.compiling():
            step = step.lower(state, key).compile()
        for _ in range(60):
            ...
            bar.advance(success=0.42)
    wall_seconds["online"] = bar.seconds

Where the output is no terminal there is no bar but a plain line now and then.
"""

import contextlib
import sys
import threading
import time
from typing import Any, Iterator, TextIO

from tqdm import tqdm

NAME_WIDTH = 18
PLAIN_INTERVAL = 30.0  # seconds between lines where there is no terminal
REFRESH = 0.1  # seconds at least between two looks of a bar
TICK = 0.5  # seconds between two looks of the clock while a program compiles
BAR_FORMAT = "{desc} {percentage:3.0f}% {bar} {n_fmt}/{total_fmt}{postfix}"
OPEN_FORMAT = "{desc} …{postfix}"


class Phase:
    """A running phase. Make one with `phase`; `seconds` stay readable afterwards."""

    def __init__(self, name: str, total: int | None, unit: str, stream: TextIO) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done = 0
        self.compile_seconds = 0.0
        self.numbers: dict[str, float] = {}
        self._stream = stream
        self._start = self._last_plain = self._last_bar = time.perf_counter()
        self._end: float | None = None
        self._bar = _make_bar(name, total, stream)
        self._show("")

    @property
    def seconds(self) -> float:
        """Wall seconds since the phase began, compilation included."""
        return (self._end or time.perf_counter()) - self._start

    def advance(self, count: int = 1, **numbers: float) -> None:
        """Count finished units; `numbers` (name=value) are shown beside the rate."""
        self.done += count
        self.numbers = {**self.numbers, **numbers}
        text = ", ".join([*self._pace(), *_formatted(self.numbers)])
        self._show(text, at_once=self.done == self.total)

    @contextlib.contextmanager
    def compiling(self, what: str = "compiling") -> Iterator[None]:
        """Show a running clock while XLA compiles; this time stays out of the rate."""
        start = time.perf_counter()
        finished = threading.Event()

        def tick() -> None:
            while not finished.wait(TICK):
                self._show(f"{what}, {duration(time.perf_counter() - start)}")

        ticker = threading.Thread(target=tick, daemon=True)
        self._show(what)
        ticker.start()
        try:
            yield
        finally:
            finished.set()
            ticker.join()
            self.compile_seconds += time.perf_counter() - start
            self._show("")

    def close(self, *, summary: bool) -> None:
        """Stop the clock, remove the bar and, if asked, leave one line in its place."""
        self._end = time.perf_counter()
        if self._bar is not None:
            self._bar.close()
        if summary:
            print(self.summary(), file=self._stream, flush=True)

    def summary(self) -> str:
        """The line a finished phase leaves behind."""
        count = f"{self.done} {self.unit if self.done == 1 else self.unit + 's'}"
        took = duration(self.seconds)
        if self.compile_seconds >= 1:
            took += f" ({duration(self.compile_seconds)} of it compiling)"
        parts = [count, took] if self.done else [took]
        return line(self.name, ", ".join([*parts, *_formatted(self.numbers)]))

    def _pace(self) -> list[str]:
        """Rate and time left, of the time that was not spent compiling."""
        working = self.seconds - self.compile_seconds
        if not self.done or working <= 0:
            return []
        each = working / self.done
        slow, fast = f"{each:.1f} s/{self.unit}", f"{1 / each:.3g} {self.unit}/s"
        rate = slow if each >= 1 else fast
        if self.total is None:
            return [rate]
        return [rate, f"{duration(each * max(self.total - self.done, 0))} left"]

    def _show(self, text: str, *, at_once: bool = True) -> None:
        """Put `text` behind the bar, or print it when a plain line is due."""
        now = time.perf_counter()
        if self._bar is not None:
            self._bar.n = self.done
            if at_once or now - self._last_bar >= REFRESH:
                self._last_bar = now
                self._bar.set_postfix_str(text)
        elif text and now - self._last_plain >= PLAIN_INTERVAL:
            self._last_plain = now
            of = f"{self.done}/{self.total}" if self.total else f"{self.done}"
            print(line(self.name, f"{of}, {text}"), file=self._stream, flush=True)


@contextlib.contextmanager
def phase(
    name: str,
    *,
    total: int | None = None,
    unit: str = "step",
    stream: TextIO | None = None,
) -> Iterator[Phase]:
    """Time a phase and show its progress on `stream` (standard output).

    Args:
      name: what is going on, for the person who waits.
      total: how many units there will be; None where nobody knows.
      unit: the singular of what `advance` counts.
    """
    running = Phase(name, total, unit, stream or sys.stdout)
    try:
        yield running
    except BaseException:
        running.close(summary=False)
        raise
    running.close(summary=True)


def note(name: str, text: str, *, stream: TextIO | None = None) -> None:
    """One line in the style of a finished phase, for example for a skipped one."""
    print(line(name, text), file=stream or sys.stdout, flush=True)


def line(name: str, text: str) -> str:
    """`name` in its column, then `text`."""
    return f"{name:<{NAME_WIDTH}} {text}"


def duration(seconds: float) -> str:
    """Seconds as people say them: 0.4 s, 12 s, 3 min 05 s, 1 h 02 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _make_bar(name: str, total: int | None, stream: TextIO) -> Any:
    """A tqdm bar that vanishes when closed; None where there is no terminal."""
    if not stream.isatty():
        return None
    return tqdm(
        total=total,
        desc=f"{name:<{NAME_WIDTH}}",
        file=stream,
        leave=False,
        dynamic_ncols=True,
        bar_format=OPEN_FORMAT if total is None else BAR_FORMAT,
    )


def _formatted(numbers: dict[str, float]) -> list[str]:
    """Each number to three digits behind its name."""
    return [f"{name.replace('_', ' ')} {value:.3g}" for name, value in numbers.items()]
