"""What a policy is made of: one frozen record of sizes, and named presets of it."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Callable, Mapping

from omnivla_jax.core.orientation import CONVENTIONS
from omnivla_jax.models import masks
from omnivla_jax.models.encoders.dinov2 import VGGT_DINO, DinoConfig
from omnivla_jax.models.encoders.vggt import VGGT_1B
from omnivla_jax.models.encoders.vit import VitConfig
from omnivla_jax.models.heads.flow_action import TIME_CONDITIONING
from omnivla_jax.models.mot import ExpertConfig, MotConfig
from omnivla_jax.policy.tokenizers import hashed_words

FAST_SYMBOLS = 127  # integers that FAST's coefficients are rounded to


def choose(setting: str, name: str, table: Mapping[str, Any]) -> Any:
    """What `table` holds under `name`; raises ValueError with the choices."""
    if name not in table:
        raise ValueError(f"{setting} is {name!r}; choose one of {', '.join(table)}.")
    return table[name]


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the encoders, the three experts and the action chunk.

    `dino` makes the spatial encoder VGGT's; None leaves it a convolutional stem.
    `spatial_vision` and `mot.spatial` go together: both None leaves the spatial
    expert out. `suffix_attention`: "causal" (the paper) or "bidirectional" (pi0).
    `head`: an action head of `policy.heads`. `time_conditioning`: "concatenated" to the
    actions (pi0) or through "adaptive" norms (pi0.5). `proprio_token`: off in policies
    without the robot's state, as openpi's `pi05_libero` (`discrete_state_input=False`).
    `state_in_prompt`: the prompt spells the state out, as pi0.5's other checkpoints
    read it (`tokenizers/state_prompt.py`). `tokenizer`: "words", "bytes" or a path
    (`tokenizers/registry.py`). `image_convention`: how the pictures lay that the
    weights know, of `core.orientation`; the policy is given upright ones and turns
    them. `delta_mask`: of a robot's action, the dimensions that the policy gives
    relative to the same ones of the state; (): none. `real_action_dim` and
    `real_proprio_dim`: how many dimensions the robot has, where the rest is padding
    (pi0's 32); None: all. `noise_head`: for the schedule `learned`, with the deviation
    of a denoising step in `noise_range` (pi_RL's). `value_queries` and
    `value_width`: the critic's, where there is one (`models/value_head.py`).
    """

    vision: VitConfig
    spatial_vision: VitConfig | None
    mot: MotConfig
    horizon: int  # H, actions in a chunk
    max_tokens: int  # L, words of an instruction with the begin mark
    action_dim: int = 7
    real_action_dim: int | None = None
    proprio_dim: int = 8
    real_proprio_dim: int | None = None
    views: int = 2
    registers: int = 1
    dino: DinoConfig | None = None
    vocab: int = hashed_words.VOCAB
    tokenizer: str = "words"
    image_convention: str = "upright"
    suffix_attention: str = "causal"
    time_conditioning: str = "concatenated"
    proprio_token: bool = True
    state_in_prompt: bool = False
    delta_mask: tuple[bool, ...] = ()
    head: str = "flow"
    noise_head: bool = False
    noise_range: tuple[float, float] = (0.08, 0.16)
    horizons: tuple[int, ...] = ()  # of the head `horizons`, rising to H; (): four
    action_bins: int = 256  # tokens that a number can be, in heads of tokens
    fast_vocab: int = 1024  # FAST's tokens, its symbols among them
    fast_scale: float = 10.0  # of FAST's coefficients, before they are rounded
    remask: float = 0.5  # how readily discrete diffusion masks tokens again; 0: never
    insulation: str = "none"  # or the reasoning expert's codec, see `heads.insulation`
    insulation_weight: float = 1.0  # of the loss of its tokens
    value_queries: int = 4
    value_width: int = 256

    def __post_init__(self) -> None:
        choose("suffix_attention", self.suffix_attention, masks.INSIDE_ACTION)
        choose("time_conditioning", self.time_conditioning, TIME_CONDITIONING)
        choose("image_convention", self.image_convention, CONVENTIONS)
        for name in ("action_dim", "proprio_dim"):
            real, whole = getattr(self, f"real_{name}"), getattr(self, name)
            if real is not None and not 1 <= real <= whole:
                raise ValueError(
                    f"real_{name} is {real}; choose 1 to {name}={whole}, or None for "
                    "all."
                )
        if len(self.delta_mask) not in (0, self.robot_action_dim):
            raise ValueError(
                f"delta_mask has {len(self.delta_mask)} entries for an action of "
                f"{self.robot_action_dim} dimensions: give one each, or none."
            )
        rising = tuple(sorted({*self.horizons, self.horizon}))
        if self.horizons and (self.horizons != rising or rising[0] < 1):
            raise ValueError(
                f"horizons is {self.horizons}; choose lengths that rise from at least "
                f"1 to horizon={self.horizon}."
            )
        if self.action_bins < 2:
            raise ValueError(f"action_bins is {self.action_bins}; choose at least 2.")
        if self.fast_vocab <= FAST_SYMBOLS or not self.fast_scale > 0:
            raise ValueError(
                f"fast_vocab is {self.fast_vocab} and fast_scale {self.fast_scale}; "
                f"choose more than {FAST_SYMBOLS} and more than 0."
            )
        if not 0 <= self.remask <= 1:
            raise ValueError(f"remask is {self.remask}; choose 0 to 1.")
        low, high = self.noise_range
        if not 0 < low < high:
            raise ValueError(f"noise_range is {low} to {high}; choose 0 < low < high.")
        if self.mot.action is None:
            raise ValueError("A policy needs an action expert: set mot.action.")
        if (self.spatial_vision is None) != (self.mot.spatial is None):
            raise ValueError(
                "spatial_vision and mot.spatial must both be set or both be None, but "
                f"got {self.spatial_vision} and {self.mot.spatial}."
            )

    @property
    def robot_action_dim(self) -> int:
        """Dimensions of an action that the robot has; the others are padding."""
        return self.real_action_dim or self.action_dim

    @property
    def robot_proprio_dim(self) -> int:
        """Dimensions of a state that the robot has; the others are padding."""
        return self.real_proprio_dim or self.proprio_dim

    @property
    def spatial_tokens(self) -> int:
        """Tokens of the spatial stream; 0 without that expert."""
        if self.spatial_vision is None:
            return 0
        # A camera token, the registers and the patches of every view.
        return self.views * (1 + self.registers + self.spatial_vision.tokens)

    @property
    def suffix(self) -> dict[str, int]:
        """Tokens of the blocks of the suffix: the state's, if any, and the actions'."""
        return {"state": int(self.proprio_token), "action": self.horizon}

    def without_spatial(self) -> "PolicyConfig":
        """The same policy with two experts (the paper's ablation)."""
        mot = dataclasses.replace(self.mot, spatial=None)
        return dataclasses.replace(self, spatial_vision=None, mot=mot)


def _tiny() -> PolicyConfig:
    """The quickstart's policy: 64-pixel images, three shallow experts, for a CPU.

    An 8-pixel patch is about 14 cm of the table; objects move by less, so what lies
    inside a patch must survive: patches are concatenated 2 x 2 into tokens, and
    nothing is averaged.
    """
    encoder = functools.partial(
        VitConfig, image_size=64, width=96, mlp_dim=192, depth=1
    )
    shared = {"depth": 3, "heads": 4, "kv_heads": 1, "head_dim": 32}
    return PolicyConfig(
        vision=encoder(strides=(4, 2), stem_width=64, heads=3, merge=2),
        spatial_vision=encoder(strides=(4, 2), stem_width=32, heads=4, merge=2),
        mot=MotConfig(
            reasoning=ExpertConfig(width=128, mlp_dim=384, **shared),
            spatial=ExpertConfig(width=96, mlp_dim=192, **shared),
            action=ExpertConfig(width=128, mlp_dim=384, **shared),
            remat=None,
            unroll=3,
        ),
        horizon=8,
        max_tokens=16,
    )


def _debug() -> PolicyConfig:
    """Small enough to compile in seconds: for tests, never for results."""
    shared = {"depth": 2, "heads": 2, "kv_heads": 1, "head_dim": 8}
    vision = VitConfig(
        image_size=16,
        strides=(8,),
        stem_width=8,
        width=16,
        mlp_dim=16,
        depth=1,
        heads=2,
    )
    return PolicyConfig(
        vision=vision,
        spatial_vision=vision,
        mot=MotConfig(
            reasoning=ExpertConfig(width=24, mlp_dim=32, **shared),
            spatial=ExpertConfig(width=16, mlp_dim=16, **shared),
            action=ExpertConfig(width=32, mlp_dim=64, **shared),
            remat="dots",
            unroll=1,
        ),
        horizon=4,
        max_tokens=8,
    )


def _small() -> PolicyConfig:
    """About 100M parameters for 128-pixel images: one GPU trains it from scratch."""
    encoder = functools.partial(
        VitConfig, image_size=128, stem_width=128, width=384, mlp_dim=1536
    )
    shared = {"depth": 8, "heads": 8, "kv_heads": 1, "head_dim": 64}
    return PolicyConfig(
        vision=encoder(strides=(4, 2), depth=8, heads=6, merge=2),
        spatial_vision=encoder(strides=(4, 2), depth=3, heads=6, merge=2),
        mot=MotConfig(
            reasoning=ExpertConfig(width=640, mlp_dim=2560, **shared),
            spatial=ExpertConfig(width=384, mlp_dim=1024, **shared),
            action=ExpertConfig(width=384, mlp_dim=1536, **shared),
            remat="dots",
            unroll=1,
        ),
        horizon=8,
        max_tokens=16,
        registers=4,
    )


def _full() -> PolicyConfig:
    """The size of pi0 with VGGT-1B beside it: what public weights are loaded into.

    PaliGemma (gemma_2b, SigLIP So400m/14 at 224 pixels) reasons, a gemma_300m acts;
    the spatial expert has the action expert's widths. Its tokens hold LIBERO's longest
    instruction, 88 letters, spelt in bytes; openpi gives pi0 48 of SentencePiece's.
    """
    shared = {"depth": 18, "heads": 8, "kv_heads": 1, "head_dim": 256}
    return PolicyConfig(
        vision=VitConfig(
            image_size=224,
            strides=(14,),
            stem_width=1152,
            width=1152,
            mlp_dim=4304,
            depth=27,
            heads=16,
            remat="full",
        ),
        spatial_vision=VGGT_1B,
        dino=VGGT_DINO,
        mot=MotConfig(
            reasoning=ExpertConfig(width=2048, mlp_dim=16384, **shared),
            spatial=ExpertConfig(width=1024, mlp_dim=4096, **shared),
            action=ExpertConfig(width=1024, mlp_dim=4096, **shared),
            remat="full",
            unroll=1,
        ),
        horizon=10,
        max_tokens=128,
        registers=4,
        vocab=257_152,  # with PaliGemma's tokens for places and segments
        tokenizer="bytes",
    )


PRESETS: Mapping[str, Callable[[], PolicyConfig]] = {
    "debug": _debug,
    "tiny": _tiny,
    "small": _small,
    "full": _full,
}


def preset(name: str) -> PolicyConfig:
    """The preset called `name`: "debug", "tiny", "small" or "full"."""
    return choose("preset", name, PRESETS)()
