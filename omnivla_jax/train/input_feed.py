"""From batches on the host to the devices, one call ahead of the training step.

    rows = local_rows(mesh, batch_size)        # what this process has to make
    feed = InputFeed(fetch, seek)              # fetch: () -> put_rows(...)
    batches, input_bound = feed.take(state.step)

Axes: K optimizer steps of a call, N rows of a batch, n of them made by this process.
"""

import concurrent.futures
import time
from typing import Any, Callable, Mapping

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from omnivla_jax.core import sharding
from omnivla_jax.core.types import PyTree

POLL_SECONDS = 0.002  # between two looks at whether the device is idle


class InputFeed:
    """Fetches the batches of the next call while the device computes this one."""

    def __init__(
        self, fetch: Callable[[], PyTree], seek: Callable[[int], None]
    ) -> None:
        """Nothing is fetched before the first `take`.

        Args:
          fetch: makes the batches of the next call; runs in a thread of the feed's.
          seek: lets `fetch` go on after a number of optimizer steps.
        """
        self._fetch, self._seek = fetch, seek
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "input-feed")
        self._next: concurrent.futures.Future[PyTree] | None = None
        self._last_take = 0.0

    def take(self, step: jax.Array) -> tuple[PyTree, float]:
        """The batches of the next call.

        Args:
          step: int32 [], the optimizer steps before that call, as the call before it
            returns them: they are ready once the device has nothing to do.

        Returns:
          What `fetch` returned, and the share of the time since the last `take`, 0 to
          1, in which the device had nothing to do but wait for it.

        Raises what `fetch` raised.
        """
        if self._next is None:
            self._last_take = time.perf_counter()
            self._seek(int(step))
            self._next = self._thread.submit(self._fetch)
        while not step.is_ready():  # type: ignore[attr-defined]
            if concurrent.futures.wait([self._next], timeout=POLL_SECONDS).done:
                break
        idle_since = time.perf_counter()
        batches = self._next.result()
        now = time.perf_counter()
        self._next = self._thread.submit(self._fetch)
        share = (now - idle_since) / max(now - self._last_take, 1e-9)
        self._last_take = now
        return batches, share


def local_rows(mesh: Mesh | None, size: int) -> np.ndarray:
    """The rows of a batch that this process makes; without a mesh, all of them.

    Args:
      mesh: of the devices, or None.
      size: of the batch.

    Returns:
      int64 [n]; see `process_rows`.
    """
    if mesh is None:
        return np.arange(size)
    layout = sharding.batch_sharding(mesh).devices_indices_map((size,))
    return process_rows(layout, jax.process_index(), size)


def process_rows(
    layout: Mapping[jax.Device, tuple[slice, ...]], process: int, size: int
) -> np.ndarray:
    """The rows of batches that lie on the devices of one process.

    Every row belongs to a process, and to one alone unless the mesh axis `tensor` spans
    several.

    Args:
      layout: the slice of the rows on each device of the mesh.
      process: its index.
      size: N.

    Returns:
      int64 [n], ascending.
    """
    parts = [
        np.arange(size)[rows]
        for device, (rows,) in layout.items()
        if device.process_index == process
    ]
    return np.unique(np.concatenate(parts))


def put_rows(
    batches: PyTree, rows: np.ndarray, *, mesh: Mesh | None, size: int
) -> PyTree:
    """Put the rows that this process made in their places on the devices.

    Args:
      batches: arrays [K, n, ...] of the host, which nobody changes afterwards: a CPU
        device may take over their memory.
      rows: of `local_rows`.
      mesh: the devices; None: the default one.
      size: N.

    Returns:
      Arrays [K, N, ...] whose N is split over `data` and `fsdp`.
    """
    if mesh is None:
        return jax.device_put(batches)
    layout = NamedSharding(
        mesh, PartitionSpec(None, *sharding.batch_sharding(mesh).spec)
    )

    def put(leaf: np.ndarray) -> jax.Array:
        def part(index: Any) -> np.ndarray:  # a slice for each axis
            return leaf[:, np.searchsorted(rows, np.arange(size)[index[1]])]

        shape = (len(leaf), size, *leaf.shape[2:])
        return jax.make_array_from_callback(shape, layout, part)

    return jax.tree.map(put, batches)
