"""Merges the low-rank adapters of openpi's fine-tuned trees into their weights.

An adapter of a weight [..., in, out] is two arrays beside it, a [..., in, R] and
b [..., R, out]; openpi's published ranks equal their alpha, so that the sum is not
scaled. Axes: N heads, R rank.
"""

import re
from typing import NamedTuple

import numpy as np

from omnivla_jax.policy.pretrained.readers import ArrayReader

_FIRST = re.compile(r"(?P<base>.*)(?P<mark>[/_])lora_a")


class _Adapter(NamedTuple):
    a: str  # names of the arrays
    b: str
    sum_heads: bool  # b is summed over its heads first


def merge(reader: ArrayReader) -> ArrayReader:
    """The same weights with W + a b for W, and without the adapters.

    Raises:
      ValueError: an adapter has no weight or other sizes than its weight.
    """
    adapters = _find(reader)
    if not adapters:
        return reader
    for weight, (a, b, _) in adapters.items():
        sizes = [reader.shapes.get(name) for name in (weight, a, b)]
        wide, left, right = ((0,) if size is None else size for size in sizes)
        product = (*left[:-1], *right[-1:])
        if product != wide or left[-1:] != right[-2:-1]:
            raise ValueError(
                f"The adapter {a} {sizes[1]}, {b} {sizes[2]} does not fit its weight "
                f"{weight} {sizes[0]}: the files are not complete, or not openpi's."
            )

    def read(name: str) -> np.ndarray:
        value = reader.read(name)
        if name not in adapters:
            return value
        a, b = (np.asarray(reader.read(n), np.float32) for n in adapters[name][:2])
        if adapters[name].sum_heads:
            b = np.broadcast_to(b.sum(axis=-3, keepdims=True), b.shape)
        return np.asarray(value, np.float32) + a @ b

    hidden = {name for adapter in adapters.values() for name in adapter[:2]}
    kept = {n: shape for n, shape in reader.shapes.items() if n not in hidden}
    return ArrayReader(kept, read)


def _find(reader: ArrayReader) -> dict[str, _Adapter]:
    """Adapters by the name of their weight: X/w of X/lora_a, X of X_lora_a."""
    adapters = {}
    for name in reader.shapes:
        if match := _FIRST.fullmatch(name):
            base, mark = match["base"], match["mark"]
            weight = f"{base}/w" if mark == "/" else base
            # openpi contracts a with all heads of x before it reaches b.
            heads = "/attn_vec_einsum" in base
            adapters[weight] = _Adapter(name, f"{base}{mark}lora_b", heads)
    return adapters
