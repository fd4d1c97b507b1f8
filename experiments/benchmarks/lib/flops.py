"""FLOPs of a program's matrix products, and the peak FLOP/s of a device."""

import math
from typing import Any, Callable

import jax
import jax.numpy as jnp
from jax.extend import core as jaxprs

from experiments.benchmarks.lib import timing
from omnivla_jax.core import precision

# Dense bfloat16 FLOP/s of one chip by its vendor's data sheet; the first name that
# occurs in `device_kind` counts.
PEAKS = {
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100": 989e12,
    "A100": 312e12,
    "RTX 4090": 165e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
}
MEASURED_SIDE = 2048


def count(function: Callable[..., Any], *inputs: Any) -> float:
    """Floating-point operations of the matrix products of `function(*inputs)`.

    A loop counts as often as it runs. XLA's cost analysis counts its body once, which
    for scanned layers is wrong by their number; without loops the two agree. What
    rematerialisation repeats counts again: switch it off to count a model's FLOPs.
    """
    return _total(jax.make_jaxpr(function)(*inputs).jaxpr)


def peak() -> tuple[float, str]:
    """FLOP/s of the default device and where they come from: "table" or "measured".

    Measured: a large square product in the compute dtype, the best of five.
    """
    kind = jax.devices()[0].device_kind
    for name, known in PEAKS.items():
        if name in kind:
            return known, "table"
    x = jnp.ones((MEASURED_SIDE, MEASURED_SIDE), precision.compute_dtype())
    product = jax.jit(jnp.matmul)
    seconds = timing.fastest(lambda _: product(x, x)).wall
    return 2 * MEASURED_SIDE**3 / seconds, "measured"


def _total(jaxpr: jaxprs.Jaxpr) -> float:
    """FLOPs of all `dot_general` of a program and of the programs inside it."""
    total = 0.0
    for equation in jaxpr.eqns:
        inner = 0.0  # of bodies, branches and called functions
        for value in equation.params.values():
            for part in value if isinstance(value, (tuple, list)) else [value]:
                if isinstance(part, jaxprs.ClosedJaxpr):
                    inner += _total(part.jaxpr)
                elif isinstance(part, jaxprs.Jaxpr):
                    inner += _total(part)
        total += inner * equation.params.get("length", 1)  # of a scan
        if equation.primitive.name == "dot_general":
            # A multiplication and an addition per output entry and contracted index.
            (contracted, _), _ = equation.params["dimension_numbers"]
            left: Any = equation.invars[0].aval
            result: Any = equation.outvars[0].aval
            entries = math.prod(left.shape[axis] for axis in contracted)
            total += 2.0 * entries * math.prod(result.shape)
    return total
