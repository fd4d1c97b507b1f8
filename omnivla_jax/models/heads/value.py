"""PPO's critic: the value of an observation, read from the prefix cache.

Q learned queries attend to the prefix in every layer, over the keys and values that
the action expert reads too, and an MLP turns their outputs and the robot's state
into one number. The cache is there anyway, and Q queries cost attention alone: a value
costs far less than one velocity. All layers are read because one of them is narrow
(32 channels in `tiny`), and the cache holds no hidden states.

Axes: B batch, L layers, S prefix tokens, K key/value heads, C channels of a head, Q
queries, E width of the MLP, D state dimensions.
"""

import chex
import jax
import jax.numpy as jnp
from flax import linen as nn

from omnivla_jax.core import precision
from omnivla_jax.models.attention import Segment, attend
from omnivla_jax.models.layers import EPSILON, Dense
from omnivla_jax.models.mot import LayerCache


class ValueHead(nn.Module):
    """cache [B, L, S, K, C], valid bool [B, S], state [B, D] -> value float32 [B].

    The queries start at 0, as averages over the valid tokens, and so does the last
    layer: a fresh critic's value is 0 everywhere. The MLP is float32.
    """

    queries: int
    width: int

    @nn.compact
    def __call__(
        self, cache: LayerCache, valid: jax.Array, state: jax.Array
    ) -> jax.Array:
        features = self._attend_prefix(cache, valid)
        x = jnp.concatenate([features, precision.to_float32(state)], axis=-1)
        # Split by columns: few meshes divide the L Q K C + D rows.
        x = nn.gelu(Dense(self.width, (None, "embed"), name="from_prefix")(x))
        x = nn.gelu(Dense(self.width, ("embed", "mlp"), name="hidden")(x))
        out = Dense(1, ("mlp", None), from_zero=True, name="out")
        return out(x)[:, 0]

    def _attend_prefix(self, cache: LayerCache, valid: jax.Array) -> jax.Array:
        """The queries' outputs, normed by layer and query: float32 [B, L Q K C]."""
        chex.assert_rank([cache.keys, valid], [5, 2])
        chex.assert_equal_shape([cache.keys, cache.values])
        batch, layers, _, heads, channels = cache.keys.shape
        names = ("layers", None, "kv_heads", "head_dim")
        zeros = nn.with_logical_partitioning(nn.initializers.zeros, names)
        query = self.param("query", zeros, (layers, self.queries, heads, channels))
        mask = jnp.broadcast_to(valid[:, None], (batch, self.queries, valid.shape[1]))

        def attend_layer(query: jax.Array, layer: Segment) -> jax.Array:
            queries = jnp.broadcast_to(query, (batch, *query.shape))
            return attend(queries, [layer], mask)

        segments = Segment(cache.keys, cache.values)
        attend_layers = jax.vmap(attend_layer, in_axes=(0, 1), out_axes=1)
        outputs = attend_layers(precision.to_compute(query), segments)
        features = precision.to_float32(outputs)
        features = features.reshape(batch, layers, self.queries, heads * channels)
        norm = nn.LayerNorm(EPSILON, use_scale=False, use_bias=False)
        return norm(features).reshape(batch, -1)
