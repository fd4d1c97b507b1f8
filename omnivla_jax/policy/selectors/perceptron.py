"""A small network on features, fitted in one compiled call: two hidden layers.

Axes: M samples, W features, O outputs.
"""

from dataclasses import dataclass
from typing import Callable, NamedTuple, TypeAlias

import chex
import jax
import jax.numpy as jnp
import optax

from omnivla_jax.core.types import PyTree

# (outputs float32 [S, O], targets [S, ...]) -> the loss of each sample, float32 [S]
LossFn: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]
SMALLEST_STD = 1e-3  # of a feature that features are divided by


@dataclass(frozen=True)
class FitConfig:
    """How a perceptron is fitted: by AdamW on minibatches drawn with replacement."""

    width: int = 128  # of both hidden layers
    steps: int = 1500
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3


class Perceptron(NamedTuple):
    """Parameters, with the features' mean and deviation."""

    mean: jax.Array  # float32 [W]
    std: jax.Array  # float32 [W]
    layers: tuple[tuple[jax.Array, jax.Array], ...]  # (weight, bias) each


def apply(perceptron: Perceptron, features: jax.Array) -> jax.Array:
    """The outputs float32 [..., O] of features float32 [..., W]."""
    chex.assert_type(features, jnp.float32)
    chex.assert_axis_dimension(features, -1, len(perceptron.mean))
    x = (features - perceptron.mean) / perceptron.std
    *hidden, last = perceptron.layers
    for weight, bias in hidden:
        x = jax.nn.gelu(x @ weight + bias)
    return x @ last[0] + last[1]


def fit(
    key: jax.Array,
    features: jax.Array,
    targets: jax.Array,
    loss: LossFn,
    *,
    outputs: int,
    config: FitConfig,
) -> Perceptron:
    """A perceptron with a small mean loss; consumes `key`.

    Args:
      key: typed key.
      features: float32 [M, W].
      targets: [M, ...], what the loss takes.
      loss: of each sample.
      outputs: O.
      config: sizes and the optimizer's settings.
    """
    chex.assert_rank(features, 2)
    chex.assert_equal_shape_prefix([features, targets], 1)
    init_key, batch_key = jax.random.split(key)
    start = _init(init_key, features, outputs, config.width)
    optimizer = optax.adamw(
        optax.cosine_decay_schedule(config.learning_rate, config.steps),
        weight_decay=config.weight_decay,
    )

    def step(
        carry: tuple[PyTree, PyTree], key: jax.Array
    ) -> tuple[tuple[PyTree, PyTree], None]:
        layers, opt_state = carry
        index = jax.random.randint(key, (config.batch_size,), 0, len(features))

        def mean_loss(layers: PyTree) -> jax.Array:
            predicted = apply(start._replace(layers=layers), features[index])
            return jnp.mean(loss(predicted, targets[index]))

        gradient = jax.grad(mean_loss)(layers)
        updates, opt_state = optimizer.update(gradient, opt_state, layers)
        return (optax.apply_updates(layers, updates), opt_state), None

    keys = jax.random.split(batch_key, config.steps)
    carry = (start.layers, optimizer.init(start.layers))
    (layers, _), _ = jax.jit(lambda c, keys: jax.lax.scan(step, c, keys))(carry, keys)
    return start._replace(layers=layers)


def _init(key: jax.Array, features: jax.Array, outputs: int, width: int) -> Perceptron:
    """A fresh perceptron, whose outputs are 0; consumes `key`."""
    sizes = (features.shape[1], width, width)
    hidden = tuple(
        (
            jax.random.normal(layer_key, (rows, columns)) * (2.0 / rows) ** 0.5,
            jnp.zeros(columns),
        )
        for layer_key, rows, columns in zip(jax.random.split(key), sizes, sizes[1:])
    )
    last = (jnp.zeros((width, outputs)), jnp.zeros(outputs))
    std = jnp.maximum(jnp.std(features, axis=0), SMALLEST_STD)
    return Perceptron(jnp.mean(features, axis=0), std, (*hidden, last))
