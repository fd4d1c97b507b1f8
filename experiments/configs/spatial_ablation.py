"""Whether stage I helps: with and without it, by what is kept of it, by demonstrations.

Commands: `python -m experiments.ablation --workdir=runs/spatial_ablation
--config=experiments/configs/spatial_ablation.py`, and with `spatial_ablation.py:
demonstrations` (no space) success against the number of demonstrations, which
demonstrations.png shows. Both resume run by run; `--config.seeds=0,` and
`--config.variant_names="('SFT, stage I', 'SFT, no spatial expert')"` train a part.
Stage I is trained once a seed and shared, in one workdir by both commands, whose table
and pictures are those of the last one.

Six libero_goal tasks, 360 steps of flow matching and 210 held-out episodes, as in the
ablation. Not yet measured.

`get_config("debug")` is the same on toy sizes, for tests: its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments.configs import ablation

STAGE_I = {"stages": ("spatial", "sft")}
WITHOUT = {"policy": {"spatial": False}}
SFT_ALONE = {"rl": {"updates": 0}}
VARIANTS = {
    "SFT, no spatial expert": {**WITHOUT, **SFT_ALONE},
    "SFT, no stage I": SFT_ALONE,
    "SFT, stage I": {**STAGE_I, **SFT_ALONE},
    "SFT, stage I, frozen encoder": {
        **STAGE_I,
        **SFT_ALONE,
        "sft": {"spatial_encoder_rate": 0.0},
    },
    "SFT, stage I, encoder at a tenth": {
        **STAGE_I,
        **SFT_ALONE,
        "sft": {"spatial_encoder_rate": 0.1},
    },
    "SFT, stage I, geometry kept": {
        **STAGE_I,
        **SFT_ALONE,
        "sft": {"geometry_weight": 0.1},
    },
    "+ Flow-GSPO, no spatial expert": {**WITHOUT, "rl": ablation.CHUNK_CLIP},
    "+ Flow-GSPO, stage I": {**STAGE_I, "rl": ablation.CHUNK_CLIP},
}
COUNTS = (36, 72, 144, 288)  # demonstrations
BY_COUNT = {
    f"{count} demonstrations, {name}": {
        **changes,
        **SFT_ALONE,
        "demonstrations": {"episodes": count},
    }
    for name, changes in (("no spatial expert", WITHOUT), ("stage I", STAGE_I))
    for count in COUNTS
}


def get_config(variant: str = "") -> ConfigDict:
    """The configuration; `variant` is "", "demonstrations" or "debug"."""
    by_count = variant == "demonstrations"
    config = ablation.get_config("" if by_count else variant)
    variants = BY_COUNT if by_count else VARIANTS
    config.variants = ConfigDict(variants)
    config.variant_names = tuple(variants)
    if variant == "debug":
        config.variant_names = ("SFT, stage I, geometry kept",)
        return config
    config.seeds = (0, 1, 2, 3, 4)
    config.sft.attention_metrics = True
    return config
