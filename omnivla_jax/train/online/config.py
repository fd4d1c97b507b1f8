"""How stage III collects, what it rewards and how it learns: one frozen record."""

import math
from dataclasses import dataclass
from typing import Mapping

from omnivla_jax.policy.config import choose
from omnivla_jax.rl import trees
from omnivla_jax.train.observation_store import OBSERVATION_STORES
from omnivla_jax.train.online.objectives import Objective
from omnivla_jax.train.state import OptimizerConfig
from omnivla_jax.world.perturbations.training_draws import PerturbConfig


@dataclass(frozen=True)
class OnlineConfig:
    """The settings of `online.step`; N, G, C and T as in `rollout.py`."""

    optimizer: OptimizerConfig
    objective: Objective
    reward_weights: Mapping[str, float]  # by reward term of the environment
    updates: int
    groups: int  # N, a multiple of the number of tasks for equal shares
    chunks: int  # T
    group_size: int = 8  # G, episodes from every initial state
    num_branches: int = 1  # C, chunks tried in every state; the others are dropped
    # Clones at the start of each of L equal segments, whose product is G; (): each of
    # the G episodes is played on its own from the start
    tree: tuple[int, ...] = ()
    epochs: int = 1
    minibatches: int = 4
    grad_accum_steps: int = 1  # parts that a minibatch's gradient is summed from
    chunk_advantage_weight: float = 0.0  # of chunk groups in an advantage; 1: alone
    success_rate_filter: tuple[float, float] = (0.0, 1.0)  # of groups learned from
    target_kl: float | None = None  # nats a chunk that end an update's minibatches
    self_imitation: float = 0.0  # weight of the supervised loss of successes
    imitated_chunks: int = 144  # of them, drawn for each minibatch
    ema_decay: float = 0.0  # of the average that is evaluated; 0 keeps none
    rollout_policy: str = "trained"  # the policy that explores, or "average"
    final_exploration: float = 1.0  # share of the sampler's noise left at the end
    task_memory: float = 0.0  # decay of tasks' remembered success; 0: they take turns
    discount: float = 1.0  # gamma, per control step of a chunk (eq. 16)
    reference: str = "old"  # the policy that the divergence is from, or "sft"
    adv_std_min: float = 0.05  # smallest deviation that advantages are divided by
    trainable: str = "experts:action"  # see `policy.lora`
    observation_store: str = "cache"  # of a decision's input, see that module
    # What episodes are perturbed by, in an environment that draws; None: nothing
    perturb: PerturbConfig | None = None

    def __post_init__(self) -> None:
        choose("observation_store", self.observation_store, OBSERVATION_STORES)
        choose("reference", self.reference, {"old": None, "sft": None})
        choose(
            "rollout_policy", self.rollout_policy, {"trained": None, "average": None}
        )
        self._check_numbers()
        if self.observation_store == "cache" and self.trainable != "experts:action":
            raise ValueError(
                "observation_store='cache' keeps prefixes that trainable="
                f"{self.trainable!r} may change: choose 'images' or 'state'."
            )
        if (self.num_branches > 1) != (self.chunk_advantage_weight > 0):
            raise ValueError(
                f"num_branches={self.num_branches} and chunk_advantage_weight="
                f"{self.chunk_advantage_weight}: chunk groups need more than one "
                "branch, and a weight above 0."
            )
        if self.objective.has_critic and self.num_branches > 1:
            raise ValueError(
                f"num_branches={self.num_branches}, but a critic values episodes, not "
                "groups: set num_branches=1."
            )
        self._check_tree()
        total, parts = self.total, self.minibatches * self.grad_accum_steps
        if total % parts:
            raise ValueError(
                f"{self.chunks} chunks of {self.groups} x {self.group_size} episodes "
                f"with num_branches={self.num_branches} make {total}, which "
                f"minibatches={self.minibatches} of grad_accum_steps="
                f"{self.grad_accum_steps} do not divide."
            )

    def _check_tree(self) -> None:
        """Refuse trees that do not fit the group, its chunks or the objective."""
        if not self.tree:
            return
        if math.prod(self.tree) != self.group_size or min(self.tree) < 1:
            raise ValueError(
                f"tree={self.tree} branches into {math.prod(self.tree)} episodes, but "
                f"group_size={self.group_size}: make them equal."
            )
        if self.chunks % len(self.tree):
            raise ValueError(
                f"tree={self.tree} has {len(self.tree)} segments, which chunks="
                f"{self.chunks} do not divide into."
            )
        if self.num_branches > 1 or self.objective.has_critic:
            raise ValueError(
                f"tree={self.tree} judges segments by the episodes of their group: set "
                "num_branches=1 and an objective without a critic."
            )

    def _check_numbers(self) -> None:
        """Refuse numbers outside of their ranges, and an average that is not kept."""
        if self.target_kl is not None and self.target_kl <= 0:
            raise ValueError(
                f"target_kl={self.target_kl} would end every update at once: choose a "
                "positive one, or None for none."
            )
        if self.self_imitation < 0:
            raise ValueError(
                f"self_imitation={self.self_imitation} would unlearn successes: "
                "choose 0 or more."
            )
        if self.self_imitation and not 1 <= self.imitated_chunks <= self.total:
            raise ValueError(
                f"imitated_chunks={self.imitated_chunks} are drawn of the {self.total} "
                "chunks of an update: choose 1 to that many."
            )
        low, high = self.success_rate_filter
        rates = [count / self.group_size for count in range(self.group_size + 1)]
        is_judged = not self.objective.has_critic
        if is_judged and not any(low <= rate <= high for rate in rates):
            raise ValueError(
                f"success_rate_filter={low},{high} keeps no group of group_size="
                f"{self.group_size}: widen it, 0,1 keeps all."
            )
        if not 0 < self.final_exploration <= 1:
            raise ValueError(
                f"final_exploration={self.final_exploration} must lie in (0, 1]: "
                "without noise nothing has a likelihood."
            )
        for name in ("ema_decay", "task_memory"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie in [0, 1).")
        if self.rollout_policy == "average" and not self.ema_decay:
            raise ValueError(
                "rollout_policy='average' explores with an average of the parameters, "
                "and ema_decay=0 keeps none: choose, say, ema_decay=0.9."
            )

    @property
    def branching(self) -> tuple[int, ...]:
        """Clones of a state at the start of each segment; one segment if no tree."""
        return self.tree or (self.group_size,)

    @property
    def decisions(self) -> int:
        """Chunks of an update for each row that it starts with: T, but in trees.

        There the rows become more from segment to segment.
        """
        return self.total // (self.groups * self.branching[0] * self.num_branches)

    @property
    def total(self) -> int:
        """Chunks of one update, T N G C, or fewer in a tree."""
        nodes = sum(trees.nodes(self.branching))
        segment = self.chunks // len(self.branching)
        return segment * self.groups * nodes * self.num_branches
