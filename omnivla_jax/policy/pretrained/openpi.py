"""Names of openpi's pi0 and pi0.5, and their flow turned round to run as ours does.

openpi's time t is 1 at the noise and its velocity points from the actions to the
noise; ours are tau = 1 - t and the opposite (`flow/path.py`). Both differences are
linear and lie next to a linear layer, so that loading folds them into its weights and
the policy computes what openpi computes. Axes: E width of the action expert, F
features of a layer, D action dimensions.
"""

import dataclasses
import functools
from typing import Callable, NamedTuple

import jax.numpy as jnp
import numpy as np

from omnivla_jax.models.layers import posemb_sincos
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained import big_vision
from omnivla_jax.policy.pretrained.param_mapping import ParamMapping, ParamMappings

DIMENSIONS = 32  # of actions and states, padded with zeros


class Ends(NamedTuple):
    """Dense layers of the action expert's ends, beside `action_out_proj`."""

    inputs: tuple[str, ...]
    time: str  # the one of them that reads the embedding of the time


PI0_ENDS = Ends(
    ("state_proj", "action_in_proj", "action_time_mlp_in", "action_time_mlp_out"),
    "action_time_mlp_in",
)
PI05_ENDS = Ends(("action_in_proj", "time_mlp_in", "time_mlp_out"), "time_mlp_in")


def pi0_config(config: PolicyConfig) -> PolicyConfig:
    """`config` with pi0's ends: 32 dimensions, actions that see each other.

    The dimensions that `config` has are the real ones.
    """
    return dataclasses.replace(
        config,
        action_dim=DIMENSIONS,
        real_action_dim=config.robot_action_dim,
        proprio_dim=DIMENSIONS,
        real_proprio_dim=config.robot_proprio_dim,
        suffix_attention="bidirectional",
    )


def pi05_config(config: PolicyConfig) -> PolicyConfig:
    """As `pi0_config`, with the time in the norms and no state.

    Like openpi's `pi05_libero`: blind to the state, which its prompt does not spell.
    """
    base = pi0_config(config)
    return dataclasses.replace(base, time_conditioning="adaptive", proprio_token=False)


def pi0(config: PolicyConfig) -> ParamMappings:
    """Reasoning and action experts of pi0."""
    reasoning = big_vision.paligemma(config)
    action = big_vision.decoder("action", "_1") | big_vision.norms("action", "_1")
    return reasoning | action | ends(config, dense, PI0_ENDS)


def pi05(config: PolicyConfig) -> ParamMappings:
    """Reasoning and action experts of pi0.5."""
    reasoning = big_vision.paligemma(config)
    norms = big_vision.norms("action", "_1", adaptive=True)
    action = big_vision.decoder("action", "_1") | norms
    return reasoning | action | ends(config, dense, PI05_ENDS)


def ends(
    config: PolicyConfig, layer: Callable[[str, str], ParamMappings], names: Ends
) -> ParamMappings:
    """The action expert's inputs and output, turned round to run as ours do.

    Args:
      config: the policy's sizes.
      layer: (our name, their name) of a dense layer -> its rows of the table.
      names: of the layers.
    """
    table: ParamMappings = {}
    for name in names.inputs:
        table |= layer(f"action/input/{name}", name)
    first, width = (
        f"action/input/{names.time}/kernel",
        config.mot.experts["action"].width,
    )
    table[first] = table[first]._replace(
        transform=functools.partial(reflect_time, width=width)
    )
    output = layer("action/output/action_out_proj", "action_out_proj")
    return table | {
        name: mapping._replace(transform=np.negative)
        for name, mapping in output.items()
    }


def reflect_time(kernel: np.ndarray, width: int) -> np.ndarray:
    """Weights [..., F] for the embedding of t -> weights for that of tau = 1 - t.

    The last `width` rows meet the embedding. With angle a at time 1 and b at tau,
    sin(a - b) = sin a cos b - cos a sin b and cos(a - b) = cos a cos b + sin a sin b.
    """
    at_one = np.asarray(posemb_sincos(jnp.ones(1), width))[0]
    sine, cosine = np.split(at_one[:, None], 2)
    rest, of_sine, of_cosine = np.split(kernel, [-width, -width // 2])
    return np.concatenate(
        [
            rest,
            sine * of_cosine - cosine * of_sine,
            sine * of_sine + cosine * of_cosine,
        ]
    )


def dense(ours: str, theirs: str) -> ParamMappings:
    """A dense layer that both store alike."""
    return {
        f"{ours}/{leaf}": ParamMapping((f"{theirs}/{leaf}",))
        for leaf in ("kernel", "bias")
    }
