"""The paper's ablation on six libero_goal tasks: objectives, groups, spatial expert.

Command: `python -m experiments.ablation --workdir=runs/ablation`. Measured on two
cores of an AMD EPYC, seeds 0, 1 and 2, 210 held-out episodes a seed: SFT only 55.2,
47.1 and 60.0 %, without the spatial expert 65.2, 61.4 and 63.8 %; + PPO 66.2, 63.3 and
63.3 %; + GRPO 71.4, 71.4 and 73.3 %; + Flow-GSPO in trajectory groups 68.1, 70.0 and
71.0 %, in chunk groups 60.5, 48.6 and 70.5 %, without the spatial expert 71.9, 81.4
and 75.7 %. The clip of Flow-GSPO is the best of three on seed 1: .02 ended at 64.8 %,
.2, which hardly clips, at 54.8 % (70.0 and 68.6 % under seeds 0 and 2). PPO's rate is
the better of two on seed 0. Other settings are those of the quickstart.

Every variant of a seed starts from the same flow-matching policy (the one without the
spatial expert from its own) and simulates the same number of control steps.
`get_config("debug")` is the same on toy sizes, for tests: its numbers mean nothing.
"""

from ml_collections import ConfigDict

from experiments.configs import quickstart

# The best of three on seed 1, and a quarter of the objective's default.
CHUNK_CLIP = {"clip_low": 0.01, "clip_high": 0.01}
# Chunk groups: one episode from every initial state, eight chunks tried in each of its
# states. Success hardly differs between single chunks, progress does. `adv_std_min`
# keeps small differences between chunks without progress from becoming advantages.
CHUNK_GROUPS = {
    "group_size": 1,
    "num_branches": 8,
    "chunk_advantage_weight": 1.0,
    "adv_std_min": 0.02,
    "reward_weights": {"success": 1.0, "progress": 1.0},
    **CHUNK_CLIP,
}
# A critic needs no groups: every episode has another initial state. The dense term is
# added in each of 12 chunks, hence a twelfth of its weight. The learning rate is the
# better of two on seed 0: 1e-4, that of the other variants, ended at 61.0 %.
CRITIC = {
    "groups": 96,
    "group_size": 1,
    "objective": "ppo",
    "reward_weights": {"success": 1.0, "alignment": 0.1 / 12},
    "optimizer": {"learning_rate": 3e-5},
}

VARIANTS = {
    "SFT only": {"rl": {"updates": 0}},
    "SFT only, without the spatial expert": {
        "policy": {"spatial": False},
        "rl": {"updates": 0},
    },
    "+ PPO": {"rl": CRITIC},
    "+ GRPO": {"rl": {"objective": "grpo"}},
    "+ Flow-GSPO, trajectory groups": {"rl": CHUNK_CLIP},
    "+ Flow-GSPO, chunk groups": {"rl": CHUNK_GROUPS},
    "+ Flow-GSPO, without the spatial expert": {
        "policy": {"spatial": False},
        "rl": CHUNK_CLIP,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """The configuration; `variant` is "" or "debug"."""
    config = quickstart.get_config(variant)
    config.seeds = (0, 1, 2)
    config.variants = ConfigDict(VARIANTS)
    config.variant_names = tuple(VARIANTS)  # in this order
    config.evaluation.recorded = 0  # no videos
    if variant == "debug":
        config.variant_names = ("SFT only", "+ PPO")
        config.seeds = (0,)
        return config
    # put the wine bottle on top of the cabinet, push the plate to the front of the
    # stove and put the cream cheese in the bowl, beside the quickstart's three
    config.tasks = (1, 2, 5, 6, 7, 8)
    config.demonstrations.episodes = 288
    config.sft.batch_size = 64  # as measured
    config.sft.steps = 360  # 120 leave the six tasks at 19 %: too little to improve
    config.rl.updates = 32
    return config
