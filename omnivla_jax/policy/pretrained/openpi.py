"""Names of openpi's pi0 and pi0.5, and their flow turned round to run as ours does.

openpi's time t is 1 at the noise and its velocity points from the actions to the
noise; ours are tau = 1 - t and the opposite (`flow/path.py`). Both differences are
linear and lie next to a linear layer, so that loading folds them into its weights and
the policy computes what openpi computes. Axes: E width of the action expert, F
features of a layer, D action dimensions.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from omnivla_jax.models.layers import posemb_sincos
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.pretrained import big_vision
from omnivla_jax.policy.pretrained.param_mapping import ParamMapping, ParamMappings

DIMENSIONS = 32  # of actions and states, padded with zeros


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
    width = config.mot.experts["action"].width
    ends = _same_name("input", "state_proj") | _same_name("input", "action_in_proj")
    ends |= _same_name("input", "action_time_mlp_in")
    ends |= _same_name("input", "action_time_mlp_out")
    ends |= _reflected("action_time_mlp_in", width)
    return _both_experts(config) | big_vision.norms("action", "_1") | ends


def pi05(config: PolicyConfig) -> ParamMappings:
    """Reasoning and action experts of pi0.5."""
    width = config.mot.experts["action"].width
    ends = _same_name("input", "action_in_proj") | _same_name("input", "time_mlp_in")
    ends |= _same_name("input", "time_mlp_out") | _reflected("time_mlp_in", width)
    norms = big_vision.norms("action", "_1", adaptive=True)
    return _both_experts(config) | norms | ends


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


def _both_experts(config: PolicyConfig) -> ParamMappings:
    """What pi0 and pi0.5 share."""
    output = {
        name: mapping._replace(transform=np.negative)
        for name, mapping in _same_name("output", "action_out_proj").items()
    }
    decoder = big_vision.decoder("action", "_1")
    return big_vision.paligemma(config) | decoder | output


def _same_name(end: str, name: str) -> ParamMappings:
    """A dense layer of ours, `end` "input" or "output", that is called as theirs."""
    return {
        f"action/{end}/{name}/{leaf}": ParamMapping((f"{name}/{leaf}",))
        for leaf in ("kernel", "bias")
    }


def _reflected(name: str, width: int) -> ParamMappings:
    mapping = ParamMapping(
        (f"{name}/kernel",), transform=lambda kernel: reflect_time(kernel, width)
    )
    return {f"action/input/{name}/kernel": mapping}
