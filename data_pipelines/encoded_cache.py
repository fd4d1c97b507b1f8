"""The encoded pictures that were used last, bounded by bytes and shared by threads."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any, Callable, Hashable

CACHED_BYTES = 384 << 20  # of encoded pictures, of all datasets together


class EncodedCache:
    """Loads what is not there, once for all threads that ask; forgets the oldest."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes, and one value at least."""
        self._limit, self._lock = limit, threading.Lock()
        self._values: OrderedDict[Hashable, Future[Any]] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}  # of the values that are loaded

    def __len__(self) -> int:
        return len(self._values)

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return sum(self._sizes.values())

    def get(self, key: Hashable, load: Callable[[], tuple[Any, int]]) -> Any:
        """The value of `key`; where it is not there `load` returns it and its bytes.

        Raises what `load` raised; it is then tried again by the next that asks.
        """
        with self._lock:
            known = self._values.get(key)
            value = known or Future()
            self._values[key] = value
            self._values.move_to_end(key)
        if known is None:
            self._load(key, value, load)
        return value.result()

    def _load(
        self, key: Hashable, value: Future, load: Callable[[], tuple[Any, int]]
    ) -> None:
        """Give `value` its result, or its error, to all that wait for it."""
        try:
            loaded, size = load()
        except BaseException as error:
            with self._lock:
                del self._values[key]
            value.set_exception(error)
            return
        with self._lock:
            self._sizes[key] = size
            self._forget_oldest(key)
        value.set_result(loaded)

    def _forget_oldest(self, newest: Hashable) -> None:
        """Keep to the limit; values that are being loaded have no size yet."""
        excess = self.nbytes - self._limit
        for key in [key for key in self._values if key in self._sizes]:
            if excess <= 0 or key == newest:
                break
            excess -= self._sizes.pop(key)
            del self._values[key]


ENCODED = EncodedCache(CACHED_BYTES)
