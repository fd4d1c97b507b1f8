"""How stage III collects, what it rewards and how it learns: one frozen record."""

from dataclasses import dataclass
from typing import Mapping

from omnivla_jax.policy.config import choose
from omnivla_jax.sim.goals import reward
from omnivla_jax.train.observation_store import OBSERVATION_STORES
from omnivla_jax.train.online.objectives import Objective
from omnivla_jax.train.state import OptimizerConfig


@dataclass(frozen=True)
class OnlineConfig:
    """The settings of `online.step`; N, G, C and T as in `collect.py`."""

    optimizer: OptimizerConfig
    objective: Objective
    rewards: Mapping[str, float]  # scales of reward terms, see `sim.reward`
    updates: int
    groups: int  # N, a multiple of the number of tasks for equal shares
    chunks: int  # T
    group_size: int = 8  # G, episodes from every initial state
    branches: int = 1  # C, chunks tried in every state; the others are dropped
    epochs: int = 1
    minibatches: int = 4
    accumulation: int = 1  # parts that a minibatch's gradient is summed from
    chunk_share: float = 0.0  # of the chunk groups in an advantage, 1 for these alone
    keep_between: tuple[float, float] = (0.0, 1.0)  # success of groups learned from
    discount: float = 1.0  # gamma, per control step of a chunk (eq. 16)
    reference: str = "old"  # whose distance the divergence measures, or "sft"
    std_floor: float = 0.05  # smallest deviation that advantages are divided by
    scope: str = "experts:action"  # what trains, see `policy.adaptation`
    storage: str = "cache"  # what is kept of a decision's input, see `storage.py`

    def __post_init__(self) -> None:
        choose("storage", self.storage, OBSERVATION_STORES)
        reward.check(self.rewards)
        if self.storage == "cache" and self.scope != "experts:action":
            raise ValueError(
                f"storage='cache' keeps prefixes that scope={self.scope!r} may change: "
                "choose storage='images' or 'state'."
            )
        if (self.branches > 1) != (self.chunk_share > 0):
            raise ValueError(
                f"branches={self.branches} and chunk_share={self.chunk_share}: chunk "
                "groups need more than one branch, and a share above 0."
            )
        if self.objective.critic and self.branches > 1:
            raise ValueError(
                f"branches={self.branches}, but a critic values episodes, not groups: "
                "set branches=1."
            )
        choose("reference", self.reference, {"old": None, "sft": None})
        total, parts = self.total, self.minibatches * self.accumulation
        if total % parts:
            raise ValueError(
                f"{self.chunks} chunks of {self.groups} x {self.group_size} episodes "
                f"with branches={self.branches} make {total}, which minibatches="
                f"{self.minibatches} of accumulation={self.accumulation} do not divide."
            )

    @property
    def total(self) -> int:
        """Chunks of one update, T N G C."""
        return self.chunks * self.groups * self.group_size * self.branches
