"""Shuffled batches of frames from demonstrations that do not fit into memory.

    frames = ShuffledFrames(demonstrations, texts, horizon=8, padding="hold", seed=0)
    batches = BatchStream(frames, (10, 64), position=0)  # leaves [10, 64, ...]
    batches.get_state(), batches.set_state(120)  # numbers of batches

Which frame is where is a function of (seed, epoch, position), so that the number of
batches taken is all the state there is. Episodes are shuffled in every epoch, frames
within windows of `WINDOW` episodes, whose records are all that a reader has to keep.
Decoding runs ahead in threads of grain's.

Axes: K optimizer steps of a call, N frames of a batch, T steps of a demonstration,
V camera views, S image side, H chunk length.
"""

import functools
from typing import Any, Iterator, Sequence

import numpy as np

from omnivla_jax.core import action_chunks
from omnivla_jax.core.types import Demonstration, FrameBatch

WINDOW = 32  # episodes whose frames are mixed; fewer than a reader's cached records
THREADS = PREFETCHED = 4  # that make batches; batches made ahead of the learner
ENDLESS = 1 << 40  # positions


class ShuffledFrames:
    """The training frames of demonstrations, in a shuffled order that never ends."""

    def __init__(
        self,
        demonstrations: Sequence[Demonstration],
        instructions: Sequence[str],
        *,
        horizon: int,
        padding: str,
        seed: int,
    ) -> None:
        """Index the frames; no picture is decoded.

        Args:
          demonstrations: their pictures should be decoded on access.
          instructions: the table whose rows `FrameBatch.instruction` counts.
          horizon: H.
          padding: one of `action_chunks.PADDINGS`.
          seed: of the order, at least 0.

        Raises ValueError where no frame is left to train on.
        """
        self._demonstrations, self._seed = list(demonstrations), seed
        rows = {text: row for row, text in enumerate(instructions)}
        self._rows = [rows[d.instruction] for d in demonstrations]
        actions = [np.asarray(d.action) for d in demonstrations]
        self._chunks = [
            action_chunks.chunk_targets(action, horizon, padding) for action in actions
        ]
        self._masks = [
            action_chunks.loss_mask(len(action), horizon, padding) for action in actions
        ]
        self._starts = np.cumsum([0] + [len(chunks) for chunks in self._chunks])
        if not len(self):
            raise ValueError(
                f"No demonstration has {horizon} steps, and data.padding={padding!r} "
                "leaves no frame of shorter ones: choose another."
            )
        self._order = functools.lru_cache(maxsize=2)(self._shuffled)

    def __len__(self) -> int:
        """Frames of an epoch."""
        return int(self._starts[-1])

    def __getitem__(self, position: int) -> FrameBatch:
        """The frame at `position` >= 0, counted through all epochs, without N."""
        epoch, offset = divmod(int(position), len(self))
        frame = self._order(epoch)[offset]
        index = int(np.searchsorted(self._starts, frame, side="right")) - 1
        step = int(frame - self._starts[index])
        demonstration, mask = self._demonstrations[index], self._masks[index]
        return FrameBatch(
            images=demonstration.images[step],
            state=np.asarray(demonstration.state[step], np.float32),
            chunk=self._chunks[index][step],
            instruction=np.int32(self._rows[index]),
            loss_mask=None if mask is None else mask[step],
        )

    def _shuffled(self, epoch: int) -> np.ndarray:
        """The frames of an epoch, int64 [frames], window by window."""
        rng = np.random.default_rng((self._seed, epoch))
        episodes = rng.permutation(len(self._chunks))
        windows = np.split(episodes, range(WINDOW, len(episodes), WINDOW))
        frames = [
            np.concatenate([np.arange(*self._starts[i : i + 2]) for i in window])
            for window in windows
        ]
        return np.concatenate([rng.permutation(window) for window in frames])


class BatchStream(Iterator[FrameBatch]):
    """An endless iterator of batches of frames, made ahead in the background."""

    def __init__(
        self, frames: ShuffledFrames, shape: tuple[int, ...], *, position: int = 0
    ) -> None:
        """Start the threads.

        Args:
          frames: the source.
          shape: leading axes of a batch: (N,), or (K, N) for K optimizer steps in one
            call.
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
        stack = functools.partial(_stack_frames, shape=shape)
        dataset = grain.MapDataset.range(ENDLESS).map(frames.__getitem__)
        dataset = dataset.batch(int(np.prod(shape)), batch_fn=stack)
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


def _stack_frames(frames: Sequence[FrameBatch], shape: tuple[int, ...]) -> FrameBatch:
    """Frames as one batch with the leading axes `shape`."""
    columns = [
        (
            None
            if column[0] is None
            else np.stack(column).reshape(*shape, *column[0].shape)
        )
        for column in zip(*frames)
    ]
    return FrameBatch(*columns)
