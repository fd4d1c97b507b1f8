"""Tests of experiments.serving.batcher."""

import asyncio
import threading
import time

import pytest

from experiments.serving.batcher import Batcher


def run(items, function, *, expected=100, **limits):
    """Submit all items at once; their results or errors."""

    async def play():
        limits_ = {"max_batch": 4, "max_wait": 0.01, **limits}
        batcher = Batcher(function, expected=lambda: expected, **limits_)
        work = asyncio.create_task(batcher.work())
        tasks = [batcher.submit(item) for item in items]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        work.cancel()
        return results

    return asyncio.run(asyncio.wait_for(play(), 30))


def test_items_are_batched_in_order_in_one_thread():
    batches, threads = [], set()

    def double(items):
        batches.append(items)
        threads.add(threading.current_thread())
        return [2 * item for item in items]

    assert run(range(10), double) == [2 * item for item in range(10)]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(threads) == 1 and threads != {threading.main_thread()}


def test_a_batch_of_all_clients_does_not_wait():
    assert run([1, 2], lambda items: items, expected=2, max_wait=1e6) == [1, 2]


@pytest.mark.parametrize("error", [RuntimeError("three"), StopIteration("three"), None])
def test_a_failing_batch_leaves_the_next_alone(error):
    def fail_on_three(items):
        if 3 in items and error is not None:
            raise error
        return items if 3 not in items else items[:1]

    results = run(range(6), fail_on_three)
    words = "three" if error else "4 items gave 1 results."
    assert [str(result) for result in results[:4]] == [words] * 4
    assert results[4:] == [4, 5]
    assert len(set(map(id, results[:4]))) == 4


def test_who_gives_up_harms_nobody():
    async def play():
        def slow(items):
            time.sleep(0.1)
            return items

        batcher = Batcher(slow, max_batch=2, max_wait=0.0, expected=lambda: 2)
        work = asyncio.create_task(batcher.work())
        first, second = (asyncio.create_task(batcher.submit(n)) for n in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert await second == 1
        with pytest.raises(asyncio.CancelledError):
            await first
        assert await batcher.submit(2) == 2
        work.cancel()

    asyncio.run(asyncio.wait_for(play(), 30))
