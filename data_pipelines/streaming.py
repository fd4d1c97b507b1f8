"""Batches of frames from demonstrations that do not fit into memory.

    frames = TrainingFrames(demonstrations, texts, horizon=8, padding="hold", seed=0)
    batches = BatchStream(frames, 64, position=0)  # leaves [64, ...]
    batches.get_state(), batches.set_state(120)  # numbers of batches

Which frame is where is a function of the position alone (`frame_order`): the number of
batches taken is all the state there is. Batches do not depend on the number of
processes: each process makes the rows that lie on its own devices. Decoding runs ahead
in threads of grain's: Pillow decodes without Python's lock, and worker processes take
half as much processor time again to hand their pictures over.

Axes: N frames of a batch, n <= N of them made here, E demonstrations, T steps of a
demonstration, V camera views, S image side, H chunk length.
"""

import math
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from data_pipelines import lazy_images
from data_pipelines.frame_order import DrawnOrder, ShuffledOrder
from omnivla_jax.core import action_chunks
from omnivla_jax.core.types import Demonstration, FrameBatch

THREADS = PREFETCHED = 4  # that make batches; batches made ahead of the learner
ENDLESS = 1 << 40  # positions
ALIGNMENT = 64  # bytes, of XLA's arrays on a CPU


class TrainingFrames:
    """The frames of demonstrations to train on, in an order that never ends."""

    def __init__(
        self,
        demonstrations: Sequence[Demonstration],
        instructions: Sequence[str],
        *,
        horizon: int,
        padding: str,
        seed: int,
        draw: Callable[[int], np.ndarray] | None = None,
    ) -> None:
        """Index the frames; no picture is decoded.

        Args:
          demonstrations: their pictures should be decoded on access.
          instructions: the table whose rows `FrameBatch.instruction` counts.
          horizon: H.
          padding: one of `action_chunks.PADDINGS`.
          seed: of the order, at least 0.
          draw: from the number of frames F to the rows int [M] of `DrawnOrder`, which
            takes the place of the shuffled order.

        Raises ValueError where no frame is left to train on.
        """
        self._demonstrations = list(demonstrations)
        rows = {text: row for row, text in enumerate(instructions)}
        self._rows = [rows[d.instruction] for d in demonstrations]
        actions = [np.asarray(d.action) for d in demonstrations]
        self._chunks, self._masks = action_chunks.of_demonstrations(
            actions, horizon, padding
        )
        counts = np.array([len(chunks) for chunks in self._chunks], np.int64)
        sizes = [math.prod(lazy_images.source_shape(d.images)) for d in demonstrations]
        self._number = int(counts.sum())
        self.order: ShuffledOrder | DrawnOrder
        if draw is None:
            self.order = ShuffledOrder(counts, np.array(sizes), seed)
        else:
            self.order = DrawnOrder(counts, draw(self._number))

    def __len__(self) -> int:
        """How many frames there are."""
        return self._number

    def __getitem__(self, position: int) -> FrameBatch:
        """The frame at `position` >= 0 of the order, without N."""
        return self.frame(*self.order[position])

    def frame(self, index: int, step: int) -> FrameBatch:
        """The frame of a demonstration, without N; its picture is decoded here."""
        demonstration, mask = self._demonstrations[index], self._masks[index]
        return FrameBatch(
            images=demonstration.images[step],
            state=np.asarray(demonstration.state[step], np.float32),
            chunk=self._chunks[index][step],
            instruction=np.int32(self._rows[index]),
            loss_mask=None if mask is None else mask[step],
        )


class BatchStream(Iterator[FrameBatch]):
    """An endless iterator of batches of frames, made ahead in the background."""

    def __init__(
        self,
        frames: TrainingFrames,
        batch_size: int,
        *,
        rows: Sequence[int] | np.ndarray | None = None,
        position: int = 0,
    ) -> None:
        """Start the threads.

        Args:
          frames: the source.
          batch_size: N, over all processes.
          rows: the rows of every batch that are made here, in this order; None: all.
          position: batches taken before.

        Raises:
          ModuleNotFoundError: grain is not installed.
        """
        try:
            import grain
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"data.streaming needs {error.name}: pip install 'omnivla-rl[data]', "
                "or leave it off where the data fits into the device's memory.",
                name=error.name,
            ) from error
        made_here = range(batch_size) if rows is None else [int(row) for row in rows]

        def batch(number: int) -> FrameBatch:
            first = number * batch_size
            return _stack_frames([frames[first + row] for row in made_here])

        # Whole batches, as grain spends a tenth of a millisecond on each element.
        dataset = grain.MapDataset.range(ENDLESS // batch_size).map(batch)
        options = grain.ReadOptions(THREADS, PREFETCHED)
        self._iterator: Any = iter(dataset.to_iter_dataset(options))
        self.set_state(position)

    def __next__(self) -> FrameBatch:
        return next(self._iterator)

    def get_state(self) -> int:
        """How many batches have been taken."""
        return self._iterator.get_state()["next_index"]

    def set_state(self, position: int) -> None:
        """Go on as if `position` batches had been taken."""
        state = self._iterator.get_state()
        self._iterator.set_state({**state, "next_index": position})


def stack_batches(batches: Iterator[FrameBatch], count: int) -> FrameBatch:
    """The next `count` batches [N, ...] as one with leaves [count, N, ...]."""
    first = next(batches)
    stacked = FrameBatch(
        *(
            None if leaf is None else _aligned((count, *leaf.shape), leaf.dtype)
            for leaf in first
        )
    )
    for number in range(count):
        for leaf, column in zip(first if not number else next(batches), stacked):
            if column is not None:
                column[number] = leaf
    return stacked


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array with undefined content that a CPU device takes over without a copy.

    The copy, into memory that is new in every call, took a fifth of a frame's time.
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def _stack_frames(frames: Sequence[FrameBatch]) -> FrameBatch:
    """Frames as one batch."""
    columns = zip(*frames)
    return FrameBatch(
        *(None if column[0] is None else np.stack(column) for column in columns)
    )
