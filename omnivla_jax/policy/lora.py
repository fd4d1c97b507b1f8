"""Which parameters train, and low-rank adapters beside them (LoRA).

`trainable` is one word for the parameters that train:

    all                      everything
    experts:action,spatial   whole experts, encoders included
    lora:r=16                adapters of rank 16 on the transformer layers of all
                             experts. Also trains the ends of the action expert
                             (projections, noise head, gate) in full, since they start
                             from scratch, as openpi does

PPO's critic, the entry "value" of the parameter tree, is no expert and always trains.
An action head's codec, which is fitted on demonstrations, never does.
Adapters are one more entry, "lora". The model never sees them: `merge` adds them to the
weights, W [..., in, out] + a b, before a loss and on export. Gradients of the weights
are computed on the way; only the optimizer's memory is saved.
Axes: R rank; "..." leading axes of a weight (layers, heads, gate and value).
"""

import re

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from omnivla_jax.core.types import PyTree
from omnivla_jax.models.mot import EXPERTS
from omnivla_jax.policy.heads.base import CODEC
from omnivla_jax.policy.parameters import VALUE

ADAPTED = ("q_einsum", "kv_einsum", "attn_vec_einsum", "gating_einsum", "linear")
LORA = "lora"
# Trained in full beside adapters.
ENDS = tuple(
    ("action", end) for end in ("input", "output", "noise", "gate", "backbone", "steer")
)


def lora_rank(trainable: str) -> int | None:
    """R of "lora:r=R"; None for the values without adapters."""
    match = re.fullmatch(r"lora:r=([1-9][0-9]*)", trainable)
    return int(match[1]) if match else None


def add_adapters(params: PyTree, key: jax.Array, *, trainable: str) -> PyTree:
    """The parameter tree to train: with fresh adapters where `trainable` has them.

    Args:
      params: of the policy; adapters that it has are merged.
      key: typed key, consumed by a [..., in, R], normal with deviation in^-1/2. b
        [..., R, out] is 0, so that nothing changes at first.
      trainable: which parameters train.

    Returns:
      `params`, with an entry "lora" under "lora:r=R".
    """
    merged, rank = merge(params), lora_rank(trainable)
    if rank is None:
        return merged
    weights = {
        path: weight
        for path, weight in sorted(flatten_dict(merged).items())
        if path[1] == "layers" and path[-1] in ADAPTED
    }
    adapters = {}
    for path, weight_key in zip(weights, jax.random.split(key, len(weights))):
        *stacked, fan_in, fan_out = weights[path].shape
        noise = jax.random.normal(weight_key, (*stacked, fan_in, rank))
        adapters[(*path, "a")] = noise * fan_in**-0.5
        adapters[(*path, "b")] = jnp.zeros((*stacked, rank, fan_out))
    return merged | {LORA: unflatten_dict(adapters)}


def merge(params: PyTree) -> PyTree:
    """The parameters of the model: W + a b where there are adapters; differentiable."""
    base = {name: tree for name, tree in params.items() if name != LORA}
    if LORA not in params:
        return base
    weights, adapters = flatten_dict(base), flatten_dict(params[LORA])
    for path in {path[:-1] for path in adapters}:
        a, b = adapters[(*path, "a")], adapters[(*path, "b")]
        weights[path] = weights[path] + jnp.matmul(a, b, precision="highest")
    return unflatten_dict(weights)


def acting_params(params: PyTree) -> PyTree:
    """The parameters that act: adapters merged; no critic and no decoder of stage I."""
    return {name: tree for name, tree in merge(params).items() if name in EXPERTS}


def trainable_mask(params: PyTree, trainable: str) -> PyTree:
    """A tree of bools: True on the parameters that train.

    Args:
      params: as `add_adapters` returns them.
      trainable: which parameters train.

    Raises:
      ValueError: `trainable` is malformed, names an expert that is not there, or needs
        adapters that `params` does not have.
    """
    kind, _, names = trainable.partition(":")
    experts = [name for name in params if name not in (LORA, VALUE)]
    listed = names.split(",")
    paths = flatten_dict(params)
    learned = {path: path[:2] != ("action", CODEC) for path in paths}
    if trainable == "all":
        return unflatten_dict(learned)
    if kind == "experts" and set(listed) <= set(experts):
        chosen = (*listed, VALUE)
        return unflatten_dict(
            {path: path[0] in chosen and learned[path] for path in paths}
        )
    if lora_rank(trainable) is None:
        raise ValueError(
            f"Cannot train {trainable!r}: write 'all', 'lora:r=16', or "
            f"'experts:NAME,NAME' with names among {', '.join(experts)}."
        )
    if LORA not in params:
        raise ValueError(f"{trainable!r} trains adapters: add them by add_adapters.")
    return unflatten_dict(
        {path: path[0] in (LORA, VALUE) or path[:2] in ENDS for path in paths}
    )


def update_ema(
    ema_params: PyTree, params: PyTree, *, step: jax.Array, limit: float
) -> PyTree:
    """The exponential moving average of parameters after one more step.

    Args:
      ema_params: the average before it.
      params: the parameters after it.
      step: int32 [], its number, counted from 0.
      limit: of the decay, which rises to it: short at first, or the random
        initialisation would linger in the average.

    Returns:
      The average after it.
    """
    decay = jnp.minimum(limit, (1 + step) / (10 + step))
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, ema_params, params)
