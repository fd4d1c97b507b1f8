"""Tests of data_pipelines.encoded_cache: bounded, and loaded once for all threads."""

import concurrent.futures
import threading

import pytest

from data_pipelines.encoded_cache import EncodedCache


def test_the_oldest_go_first():
    kept, loads = EncodedCache(limit=10), []

    def get(key, size=4):
        def load():
            loads.append(key)
            return key.upper(), size

        return kept.get(key, load)

    assert [get(key) for key in "abab"] == ["A", "B", "A", "B"]
    assert loads == ["a", "b"] and kept.nbytes == 8
    get("a")
    get("c")
    assert kept.nbytes == 8 and len(kept) == 2
    get("a")
    assert loads == ["a", "b", "c"]  # a was used after b
    get("b")
    assert loads == ["a", "b", "c", "b"]
    assert get("d", size=100) == "D" and kept.nbytes == 100 and len(kept) == 1


def test_threads_share_one_load():
    kept, loads = EncodedCache(limit=10), []
    waiting, gate = threading.Barrier(4), threading.Event()

    def load():
        loads.append(threading.get_ident())
        gate.wait()
        return "value", 1

    def get(_):
        waiting.wait()
        return kept.get("key", load)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = [pool.submit(get, number) for number in range(4)]
        gate.set()
        assert [future.result() for future in found] == ["value"] * 4
    assert len(loads) == 1


def test_an_error_is_told_and_tried_again():
    kept = EncodedCache(limit=10)

    def broken():
        raise ValueError("a.parquet is damaged")

    for _ in range(2):
        with pytest.raises(ValueError, match="a.parquet is damaged"):
            kept.get("key", broken)
    assert len(kept) == 0
    assert kept.get("key", lambda: ("value", 1)) == "value"
