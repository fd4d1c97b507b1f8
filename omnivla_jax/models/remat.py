"""What a layer's backward pass finds stored, by name; the rest is computed again."""

from typing import Any, Mapping

import jax
from flax import linen as nn

POLICIES: Mapping[str, Any] = {
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def rematerialised(layer: Any, policy: str | None) -> Any:
    """A module class or function to be scanned; None stores every activation."""
    if policy is None:
        return layer
    # A scan by itself keeps XLA from merging the two computations.
    return nn.remat(layer, policy=POLICIES[policy], prevent_cse=False)
