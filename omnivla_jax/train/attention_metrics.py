"""Where the actions of a policy look: attention on each block of tokens, by layer."""

import jax

from omnivla_jax.core.types import Observation
from omnivla_jax.policy import lora, policy
from omnivla_jax.policy.config import PolicyConfig
from omnivla_jax.policy.heads import flow
from omnivla_jax.train import rng
from omnivla_jax.train.state import TrainState


def attention_metrics(
    state: TrainState, observation: Observation, policy_config: PolicyConfig
) -> dict[str, jax.Array]:
    """Shares of the actions' attention, "attention_spatial_0" in the first layer.

    Args:
      state: of training.
      observation: of N frames, `proprio` normalised.
      policy_config: of the policy.

    Returns:
      float32 [] by name; the shares of a layer add up to 1.

    Raises:
      ValueError: the policy has no flow head.
    """
    if policy_config.head != "flow":
        raise ValueError(
            f"sft.attention_metrics looks at the flow head, not at "
            f"{policy_config.head!r}: leave it out."
        )
    key = jax.random.fold_in(rng.named_key(state.seed, "attention"), state.step)
    params = lora.acting_params(state.params)
    cache = policy.encode_prefix(params, observation, config=policy_config)
    shares = flow.attention_share(
        params, cache, observation.proprio, key, config=policy_config
    )
    return {
        f"attention_{block}_{layer}": share
        for block, by_layer in shares.items()
        for layer, share in enumerate(by_layer)
    }
