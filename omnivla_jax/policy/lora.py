"""Which parameters train, low-rank adapters beside them, and their moving average.

A scope is one word for what trains:

    all                      everything
    experts:action,spatial   whole experts, encoders included
    lora:r=16                adapters of rank 16 on the transformer layers of all
                             experts, and the action expert's ends (noise head
                             included), which are as new as the robot they speak
                             for (as in openpi)

PPO's critic, the entry "value" of the parameter tree, is no expert and trains under
every scope. Adapters are one more entry, "lora". The model never sees them: `merge`
adds them to the weights, W [..., in, out] + a b, before a loss and on export.
Gradients of the weights are formed on the way; only the optimizer's memory is saved.
Axes: R rank; "..." whatever a weight stacks (layers, heads, gate and value).
"""

import re
from typing import Callable, Iterator

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from omnivla_jax.core.types import PyTree
from omnivla_jax.policy.parameters import VALUE

ADAPTED = ("q_einsum", "kv_einsum", "attn_vec_einsum", "gating_einsum", "linear")
LORA = "lora"

Path = tuple[str, ...]


def rank(scope: str) -> int | None:
    """R of a scope "lora:r=R", None for the scopes without adapters."""
    found = re.fullmatch(r"lora:r=([1-9][0-9]*)", scope)
    return int(found[1]) if found else None


def add_adapters(params: PyTree, key: jax.Array, *, scope: str) -> PyTree:
    """The tree to train under `scope`: with fresh adapters, if it asks for them.

    a [..., in, R] is normal with deviation in^-1/2 and b [..., R, out] is 0, so that
    nothing changes at first. Adapters that `params` has are merged. Consumes `key`.
    """
    merged, size = merge(params), rank(scope)
    if size is None:
        return merged
    weights = dict(_adapted(merged))
    adapters = {}
    for path, part_key in zip(weights, jax.random.split(key, len(weights))):
        *stacked, wide, out = weights[path].shape
        noise = jax.random.normal(part_key, (*stacked, wide, size))
        adapters[(*path, "a")] = noise * wide**-0.5
        adapters[(*path, "b")] = jnp.zeros((*stacked, size, out))
    return merged | {LORA: unflatten_dict(adapters)}


def merge(params: PyTree) -> PyTree:
    """The tree the model takes: W + a b where there are adapters; differentiable."""
    base = {name: tree for name, tree in params.items() if name != LORA}
    if LORA not in params:
        return base
    weights, adapters = flatten_dict(base), flatten_dict(params[LORA])
    for path in {path[:-1] for path in adapters}:
        a, b = adapters[(*path, "a")], adapters[(*path, "b")]
        weights[path] = weights[path] + jnp.matmul(a, b, precision="highest")
    return unflatten_dict(weights)


def acting_params(params: PyTree) -> PyTree:
    """The parameters that act: adapters merged, the critic left out."""
    return {name: tree for name, tree in merge(params).items() if name != VALUE}


def trainable_mask(params: PyTree, scope: str) -> PyTree:
    """True on the parameters that `scope` trains; `params` as `prepare` returns it."""
    trains = _rule(scope, params)
    return unflatten_dict({path: trains(path) for path in flatten_dict(params)})


def average(before: PyTree, params: PyTree, *, step: jax.Array, limit: float) -> PyTree:
    """The moving average of parameters after step `step` [], counted from 0.

    The decay rises to `limit`: short at first, or the random initialisation would
    linger in the average.
    """
    decay = jnp.minimum(limit, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, before, params)


def _adapted(params: PyTree) -> Iterator[tuple[Path, jax.Array]]:
    """The weights that adapters sit on, in a fixed order."""
    for path, weight in sorted(flatten_dict(params).items()):
        if path[1] == "layers" and path[-1] in ADAPTED:
            yield path, weight


def _rule(scope: str, params: PyTree) -> Callable[[Path], bool]:
    """Does the parameter at a path train?"""
    kind, _, listed = scope.partition(":")
    experts = [name for name in params if name not in (LORA, VALUE)]
    if scope == "all":
        return lambda path: True
    if kind == "experts" and set(listed.split(",")) <= set(experts):
        return lambda path: path[0] in (*listed.split(","), VALUE)
    if rank(scope) is None:
        raise ValueError(
            f"Cannot train {scope!r}: write 'all', 'lora:r=16', or 'experts:NAME,NAME' "
            f"with names among {', '.join(experts)}."
        )
    if LORA not in params:
        raise ValueError(f"{scope!r} trains adapters: add them by adaptation.prepare.")
    ends = (("action", "input"), ("action", "output"), ("action", "noise"))
    return lambda path: path[0] in (LORA, VALUE) or path[:2] in ends
