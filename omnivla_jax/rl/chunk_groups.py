"""Chunk groups: G chunks from one state s_t, and one of their branches continued.

    R_i = Σ_h γ^h r_{i,h},    Adv_i = (R_i - mean_group R) / std_group R     (eq. 16)

Only a simulator whose state is a value can offer them: s_t is cloned to G copies inside
the compiled program, each plays a chunk of its own, and the episode goes on from one of
them.

Axes: T chunks of an episode, N episodes, G clones, B = N G, episode by episode, H
control steps of a chunk.
"""

import chex
import jax
import jax.numpy as jnp

from omnivla_jax.core.types import PyTree, Transition
from omnivla_jax.rl import groups
from omnivla_jax.rl.groups import GroupAdvantages
from omnivla_jax.rl.rollout import ActFn, StepFn


def rollout(
    act_fn: ActFn,
    step_fn: StepFn,
    state: PyTree,
    key: jax.Array,
    *,
    num_chunks: int,
    group_size: int,
) -> tuple[PyTree, Transition, jax.Array]:
    """Episodes from `state` [N, ...] that try G chunks at every state they come to.

    `act_fn(state, key)` sees the N states and gives G chunks for each, [N G, ...], so
    that what clones share is rendered and encoded once; `step_fn` plays them from the
    clones. Returns the last state [N, ...], the transitions of all clones [T, N G, ...]
    and the clones continued, int32 [T, N]. The key is consumed; in chunk t it is
    `fold_in(key, t)`. Raises ValueError where there is no chunk to run.
    """
    if num_chunks < 1:
        raise ValueError(f"A rollout needs at least one chunk, not {num_chunks}.")

    def step(
        state: PyTree, chunk: jax.Array
    ) -> tuple[PyTree, tuple[Transition, jax.Array]]:
        act_key, branch_key = jax.random.split(jax.random.fold_in(key, chunk))
        record, actions = act_fn(state, act_key)
        clones = groups.repeat(state, group_size)
        clones, reward, mask = step_fn(clones, actions)
        chex.assert_shape([reward, mask], actions.shape[:1])
        chex.assert_type([reward, mask], jnp.float32)
        num_groups = len(actions) // group_size
        branch = choose(branch_key, num_groups=num_groups, group_size=group_size)
        transition = Transition(record, actions, reward, mask)
        return select(clones, branch), (transition, branch)

    state, (seen, branch) = jax.lax.scan(step, state, jnp.arange(num_chunks))
    return state, seen, branch


def chunk_returns(reward: jax.Array, mask: jax.Array, *, gamma: float) -> jax.Array:
    """R [...] = Σ_h γ^h r_h of reward float32 [..., H] (eq. 16).

    The mask float32 [..., H] is 1 on the control steps that ran. A chunk's return ends
    with the chunk: with a sparse reward most groups have no variance.
    """
    chex.assert_equal_shape([reward, mask])
    chex.assert_type([reward, mask], jnp.float32)
    discount = gamma ** jnp.arange(reward.shape[-1], dtype=jnp.float32)
    return jnp.sum(reward * mask * jnp.broadcast_to(discount, reward.shape), axis=-1)


def chunk_advantages(
    returns: jax.Array, mask: jax.Array, *, group_size: int, std_floor: float
) -> GroupAdvantages:
    """Advantages of chunk returns float32 [T, B], each among the G clones of its state.

    Fields as in `GroupAdvantages` with T in front. `mask` float32 [T, B] is 1 where the
    episode ran when the chunk began, the same in a whole group; the others weigh
    nothing. Raises ValueError if B is no multiple of G.
    """
    chex.assert_equal_shape([returns, mask])
    chex.assert_type(mask, jnp.float32)

    def by_chunk(returns: jax.Array) -> GroupAdvantages:
        return groups.group_advantages(
            returns, group_size=group_size, std_floor=std_floor
        )

    worth = jax.vmap(by_chunk)(returns)
    return worth._replace(
        advantages=worth.advantages * mask, weights=worth.weights * mask
    )


def choose(key: jax.Array, *, num_groups: int, group_size: int) -> jax.Array:
    """The clone that each episode continues as, int32 [N], uniform in [0, G).

    Drawn without regard to what the clones earned, so that later states are those of
    the policy itself. The key is consumed.
    """
    return jax.random.randint(key, (num_groups,), 0, group_size, jnp.int32)


def select(tree: PyTree, branch: jax.Array) -> PyTree:
    """Clone `branch`, int32 [N], of every group: leaves [N G, ...] become [N, ...].

    Raises ValueError if a leaf does not divide into N groups.
    """
    chex.assert_rank(branch, 1)
    chex.assert_type(branch, jnp.int32)

    def pick(leaf: jax.Array) -> jax.Array:
        if len(leaf) % len(branch):
            raise ValueError(
                f"A leaf of {len(leaf)} rows does not divide into {len(branch)} "
                "groups: select from what `groups.repeat` made."
            )
        group_size = len(leaf) // len(branch)
        return leaf[group_size * jnp.arange(len(branch)) + branch]

    return jax.tree.map(pick, tree)


def chosen(branch: jax.Array, *, group_size: int) -> jax.Array:
    """Which clones were continued: branches int32 [..., N] as float32 [..., N G]."""
    chex.assert_type(branch, jnp.int32)
    one_hot = jax.nn.one_hot(branch, group_size, dtype=jnp.float32)
    return one_hot.reshape(*branch.shape[:-1], -1)


def mixture(
    trajectory: tuple[jax.Array, jax.Array],
    chunk: tuple[jax.Array, jax.Array],
    *,
    share: float,
) -> tuple[jax.Array, jax.Array]:
    """Advantages and weights, float32 [...] each, of both kinds of group together.

        Adv = (1 - share) w_trajectory Adv_trajectory + share w_chunk Adv_chunk

    Each pair is (advantages, weights). A clone that was not continued belongs to no
    trajectory: its trajectory weight is 0 (see `chosen`). The weight is the larger one
    of the kinds that have a share. `share` is a Python number in [0, 1]; 0 and 1 leave
    one kind alone.
    """
    chex.assert_equal_shape([*trajectory, *chunk])
    chex.assert_type([*trajectory, *chunk], jnp.float32)
    if not 0.0 <= share <= 1.0:
        raise ValueError(f"share is {share}, but a share lies in [0, 1].")
    (whole, whole_weight), (part, part_weight) = trajectory, chunk
    advantages = (1.0 - share) * whole_weight * whole + share * part_weight * part
    weights = jnp.maximum(
        float(share < 1.0) * whole_weight, float(share > 0.0) * part_weight
    )
    return advantages, weights
