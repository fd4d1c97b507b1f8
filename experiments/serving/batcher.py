"""Collects what arrives together into batches, and runs them in one thread."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, NamedTuple, Sequence


class _Waiting(NamedTuple):
    item: Any
    result: asyncio.Future[Any]


class Batcher:
    """Runs items in batches; the event loop stays free meanwhile."""

    def __init__(
        self,
        run: Callable[[list[Any]], Sequence[Any]],
        *,
        max_batch: int,
        max_wait: float,
        expected: Callable[[], int],
    ) -> None:
        """Prepare; `work` has to run for `submit` to return.

        Args:
          run: items to results, one an item and in order; called in one thread.
          max_batch: items of a call.
          max_wait: seconds that the first item of a batch waits for others.
          expected: how many items can be there at once; a batch of as many does not
            wait.
        """
        self._run, self._expected = run, expected
        self._max_batch, self._max_wait = max_batch, max_wait
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "inference")

    async def submit(self, item: Any) -> Any:
        """The result of `item`; raises RuntimeError where its batch failed."""
        result = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Waiting(item, result))
        return await result

    async def work(self) -> None:
        """Run batches until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                batch = await self._collect()
                items = [waiting.item for waiting in batch]
                outcomes = await loop.run_in_executor(
                    self._thread, self._run_guarded, items
                )
                for (_, result), outcome in zip(batch, outcomes):
                    if result.done():  # who asked has gone
                        continue
                    if isinstance(outcome, Exception):
                        result.set_exception(outcome)
                    else:
                        result.set_result(outcome)
        finally:
            self._thread.shutdown(wait=False)

    def _run_guarded(self, items: list[Any]) -> Sequence[Any]:
        """Results, or an error for each item, so that the next batch is run."""
        try:
            results = self._run(items)
            if len(results) != len(items):
                raise RuntimeError(f"{len(items)} items gave {len(results)} results.")
            return results
        except Exception as error:
            # Caught in the thread, as a StopIteration would never reach the loop. Each
            # item has an error of its own: raising one adds to its traceback.
            return [RuntimeError(str(error) or repr(error)) for _ in items]

    async def _collect(self) -> list[_Waiting]:
        """The next batch: at least one item that somebody waits for."""
        batch = [await self._queue.get()]
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._max_wait
        while len(batch) < self._max_batch:
            if self._queue.empty() and len(batch) >= self._expected():
                break
            try:
                async with asyncio.timeout_at(deadline):
                    batch.append(await self._queue.get())
            except TimeoutError:
                break
        return batch
