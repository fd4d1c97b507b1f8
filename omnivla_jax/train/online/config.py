"""How stage III collects, what it rewards and how it learns: one frozen record."""

from dataclasses import dataclass
from typing import Mapping

from omnivla_jax.policy.config import choose
from omnivla_jax.train.observation_store import OBSERVATION_STORES
from omnivla_jax.train.online.objectives import Objective
from omnivla_jax.train.state import OptimizerConfig
from omnivla_jax.world.perturbations.curriculum import PerturbConfig


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
    epochs: int = 1
    minibatches: int = 4
    grad_accum_steps: int = 1  # parts that a minibatch's gradient is summed from
    chunk_advantage_weight: float = 0.0  # of chunk groups in an advantage; 1: alone
    success_rate_filter: tuple[float, float] = (0.0, 1.0)  # of groups learned from
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
        total, parts = self.total, self.minibatches * self.grad_accum_steps
        if total % parts:
            raise ValueError(
                f"{self.chunks} chunks of {self.groups} x {self.group_size} episodes "
                f"with num_branches={self.num_branches} make {total}, which "
                f"minibatches={self.minibatches} of grad_accum_steps="
                f"{self.grad_accum_steps} do not divide."
            )

    @property
    def total(self) -> int:
        """Chunks of one update, T N G C."""
        return self.chunks * self.groups * self.group_size * self.num_branches
