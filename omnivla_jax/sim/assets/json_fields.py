"""Reads values out of JSON records; errors name the file and the key in one line."""

import dataclasses
import math
import re
from typing import Any, Callable, Collection, Mapping, NoReturn, TypeVar

from omnivla_jax.sim.assets.category import Quaternion, Vector

_FURTHEST = 10.0  # m: of all lengths and positions
_REQUIRED: Any = object()
T = TypeVar("T")


class CategoryError(ValueError):
    """A record that cannot be used: which file, which key, and why."""


@dataclasses.dataclass(frozen=True)
class Field:
    """A value of a JSON file, with the file and the keys that lead to it."""

    value: Any
    source: str  # the file
    place: str  # the keys

    def fail(self, message: str) -> NoReturn:
        """Raise a CategoryError that names file and key."""
        raise CategoryError(f"{self.source}: {self.place}: {message}")

    def check_keys(self, known: Collection[str] | None = None) -> None:
        """Refuse what is no mapping, and keys that are not `known`."""
        if not isinstance(self.value, Mapping):
            self.fail(f"expected {{...}}, got {self.value!r}.")
        wrong = [] if known is None else sorted(set(self.value) - set(known))
        if wrong:
            self.fail(f"unknown keys {wrong}: it takes {', '.join(known or ())}.")

    def get(self, key: str, read: Callable[["Field"], T], default: T = _REQUIRED) -> T:
        """Read an entry of a mapping.

        Args:
          key: of the entry.
          read: what makes a value of its field.
          default: the value where there is no entry; left out, that is an error.

        Returns:
          The value.

        Raises:
          CategoryError: naming the file and the key that is missing.
        """
        if key in self.value:
            return read(Field(self.value[key], self.source, f"{self.place}.{key}"))
        if default is _REQUIRED:
            self.fail(f"no {key!r}.")
        return default

    def entries(self) -> dict[str, "Field"]:
        """The entries of a mapping with keys of the user's."""
        self.check_keys()
        return {key: self.get(key, lambda field: field) for key in self.value}

    def items(self) -> list["Field"]:
        """The entries of a list."""
        if not isinstance(self.value, (list, tuple)):
            self.fail(f"expected [...], got {self.value!r}.")
        places = (f"{self.place}[{index}]" for index in range(len(self.value)))
        return [Field(v, self.source, p) for v, p in zip(self.value, places)]

    def numbers(
        self,
        counts: Collection[int],
        least: float = -_FURTHEST,
        most: float = _FURTHEST,
    ) -> tuple[float, ...]:
        """Read a list of finite numbers, or a single one.

        Args:
          counts: how many there may be.
          least, most: the closed range that they lie in.

        Returns:
          The numbers.

        Raises:
          CategoryError: naming file, key and value.
        """
        row = self.value if isinstance(self.value, (list, tuple)) else [self.value]
        if not all(map(is_number, row)) or len(row) not in counts:
            count = " or ".join(map(str, counts))
            self.fail(f"expected {count} numbers, got {self.value!r}.")
        for value in row:
            if not least <= value <= most:
                self.fail(f"{value!r} is not between {least:g} and {most:g}.")
        return tuple(row)

    def number(self) -> float:
        """One number."""
        return self.numbers((1,))[0]

    def positive(self) -> float:
        """One number above 0."""
        return self.numbers((1,), 1e-9, 1e3)[0]

    def share(self) -> float:
        """One number in [0, 1]."""
        return self.numbers((1,), 0.0, 1.0)[0]

    def vector(self) -> Vector:
        """Three numbers."""
        x, y, z = self.numbers((3,))
        return x, y, z

    def size(self) -> Vector:
        """Three numbers above 0."""
        x, y, z = self.numbers((3,), 1e-15)
        return x, y, z

    def quaternion(self) -> Quaternion:
        """A quaternion whose length is 1 to a hundredth."""
        w, x, y, z = self.numbers((4,))
        if abs(math.hypot(w, x, y, z) - 1) > 0.01:
            self.fail(f"{self.value!r} is no unit quaternion (w, x, y, z).")
        return w, x, y, z

    def range(self) -> tuple[float, float]:
        """Two numbers, the lower one first."""
        low, high = self.numbers((2,))
        if low > high:
            self.fail(f"an inverted range {self.value!r}: the lower end comes first.")
        return low, high

    def text(self, known: Collection[str] | None = None) -> str:
        """A text, one of `known`."""
        if not isinstance(self.value, str):
            self.fail(f"expected a text, got {self.value!r}.")
        if known is not None and self.value not in known:
            self.fail(f"unknown {self.value!r}: choose among {', '.join(known)}.")
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            self.fail(f"{self.value!r}: it takes true or false.")
        return self.value

    def color(self) -> Vector:
        """[r, g, b] in [0, 1] or "#rrggbb"."""
        if isinstance(self.value, str):
            if not re.fullmatch("#[0-9a-fA-F]{6}", self.value):
                self.fail(f'{self.value!r}: it takes "#rrggbb" or [r, g, b] in [0, 1].')
            red, green, blue = bytes.fromhex(self.value[1:])
            return red / 255, green / 255, blue / 255
        r, g, b = self.numbers((3,), 0.0, 1.0)
        return r, g, b


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, and no bool."""
    real = isinstance(value, (int, float)) and not isinstance(value, bool)
    return real and math.isfinite(value)
