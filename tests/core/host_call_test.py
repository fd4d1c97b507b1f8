"""Tests of core.host_call: results, errors, and programs that the disk cache keeps."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from omnivla_jax.core.host_call import host_call

TWO = {
    "sum": jax.ShapeDtypeStruct((3,), jnp.float32),
    "big": jax.ShapeDtypeStruct((3,), bool),
}


def _host(pair, scale):
    total = (pair[0] + pair[1]) * scale
    return {"sum": total, "big": total > 4}


def _call(first, second, scale):
    return host_call("test.pair", _host, TWO, (first, second), scale)


def test_trees_go_in_and_out():
    x = jnp.arange(3.0)
    found = jax.jit(_call)(x, x + 1, jnp.float32(2.0))
    np.testing.assert_array_equal(found["sum"], [2.0, 6.0, 10.0])
    np.testing.assert_array_equal(found["big"], [False, True, True])


def test_calls_in_flight_do_not_wait():
    @jax.jit
    def run(x):
        def one(carry, _):
            return _call(carry, carry, jnp.float32(0.5))["sum"], None

        return jax.lax.scan(one, x, length=50)[0]

    started = [run(jnp.full(3, float(i))) for i in range(20)]
    for index, value in enumerate(started):
        np.testing.assert_array_equal(value, np.full(3, float(index)))


def test_an_error_on_the_host_reaches_the_caller():
    def fails(x):
        raise ValueError(f"the host refuses {x.shape}")

    wanted = jax.ShapeDtypeStruct((2,), jnp.float32)
    run = jax.jit(lambda x: host_call("test.fails", fails, wanted, x))
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"the host refuses \(2,\)"):
        run(jnp.zeros(2)).block_until_ready()


def test_another_shape_than_promised_is_an_error():
    wanted = jax.ShapeDtypeStruct((2,), jnp.float32)
    run = jax.jit(lambda x: host_call("test.shape", lambda x: x[:1], wanted, x))
    with pytest.raises(jax.errors.JaxRuntimeError, match="returned shape"):
        run(jnp.zeros(2)).block_until_ready()


def test_vmap_is_refused():
    wanted = jax.ShapeDtypeStruct((), jnp.float32)
    with pytest.raises(NotImplementedError):
        jax.vmap(lambda x: host_call("test.vmap", lambda x: x, wanted, x))(jnp.zeros(2))


PROGRAM = """
import sys
from pathlib import Path
import jax, jax.numpy as jnp
from omnivla_jax.core import compile
from omnivla_jax.core.host_call import host_call
compile.enable_cache(Path(sys.argv[1]))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
like = jax.ShapeDtypeStruct((4,), jnp.float32)
run = compile.jit(lambda x: host_call("test.cached", lambda x: 3 * x, like, x) + 1)
print(run(jnp.ones(4))[0], sum(name.endswith("cache_hits") for name in hits))
"""


def test_a_second_process_reuses_the_program(tmp_path):
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM, str(tmp_path)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    (first, cold), (second, warm) = outputs
    assert first == second == "4.0"
    assert int(warm) > int(cold) == 0
