"""Keeps the house's floors apart: reads every import and fails on any that climbs."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = "omnivla_jax"
FLOORS = {
    "core": 0,
    "flow": 1,
    "models": 1,
    "sim": 1,
    "render": 1,
    "rl": 1,
    "policy": 2,
    "world": 2,
    "train": 3,
}
# Floor 2 joins named pairs of rooms; elsewhere everything below is open.
JOINS = {
    "policy": {"core", "models", "flow"},
    "world": {"core", "sim", "render"},
}
FORBIDDEN = ("absl", "ml_collections", "tensorflow", "tensorflow_datasets")
LAUNCHER_ROOMS = ("experiments", "data_pipelines", "tests")
# Identifiers that the field has other words for.
RETIRED = {
    "anywhere": "single_device",
    "by_critic": "critic_gae",
    "by_groups": "group_relative",
    "Cast": "BodySubset",
    "casts": "body_subsets",
    "Cones": "FrictionContacts",
    "Decision": "ActorOutput",
    "EMITTERS": "FUSION_EMITTERS",
    "Experience": "RolloutBatch",
    "exploiter": "make_deterministic_actor",
    "explorer": "make_stochastic_actor",
    "Film": "TiledImagePlane",
    "Found": "CollisionResult",
    "held_out": "eval_initial_states",
    "Inventory": "SceneAssets",
    "Job": "RunContext",
    "Judge": "ValueFn",
    "judge": "make_value_fn",
    "Keeper": "BestCheckpointer",
    "mixture": "mix_advantages",
    "Models": "PolicyFns",
    "Mount": "CameraMount",
    "Opened": "AttentionInputs",
    "oriented": "convert_image_convention",
    "Outcome": "EvalResult",
    "Physics": "PhysicsState",
    "Placement": "MeshSharding",
    "Plan": "CollectionConfig",
    "Plays": "ActiveBodies",
    "rival": "mujoco_baseline",
    "RIVAL_ENVIRONMENTS": "BASELINE_ENVIRONMENTS",
    "robot_part": "unpad_dims",
    "RUNS_ONCE": "NO_OPTIMIZATION",
    "SEGMENT": "STEPS_PER_CALL",
    "Sensor": "ImageCorruption",
    "shaken": "is_stochastic",
    "Slab": "TableTop",
    "Solids": "PosedPrimitives",
    "stochastic_only": "select_stochastic_step",
    "Storage": "ObservationStore",
    "STORAGES": "OBSERVATION_STORES",
    "Tally": "RewardSums",
    "Trail": "LoopCallbacks",
    "unscaled": "identity_normalizer",
    "Worth": "AdvantageBatch",
}


def imported_modules(source: str, module: str) -> set[str]:
    """Dotted names that `source`, the text of `module`, imports anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # a relative import, counted from the importing package
                package = module.split(".")[: -node.level]
                base = ".".join([*package, base] if base else package)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def violation(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`; None where it may."""
    source, target = module.split("."), imported.split(".")
    if source[0] == "data_pipelines":
        return _side_wing_violation(target)
    if source[0] != LIBRARY:
        return None
    if target[0] in FORBIDDEN:
        return f"{LIBRARY} must not know {target[0]}"
    if target[0] in LAUNCHER_ROOMS:
        return f"{LIBRARY} must not import upwards"
    if target[0] != LIBRARY or len(source) < 3 or len(target) < 2:
        return None
    return _floor_violation(source[1], target[1])


def _side_wing_violation(target: list[str]) -> str | None:
    """data_pipelines may import the library's ground floor and outside packages."""
    if target[0] in ("experiments", "tests"):
        return "data_pipelines must not import upwards"
    if target[0] == LIBRARY and target[1:2] != ["core"]:
        return f"data_pipelines imports {LIBRARY}.core only"
    return None


def _floor_violation(source: str, target: str) -> str | None:
    """Rooms of the library import downwards only, and floor 2 only what it joins."""
    for room in (source, target):
        if room not in FLOORS:
            return f"{room} is no room of the house: give it a floor in FLOORS"
    if source == target:
        return None
    if FLOORS[target] >= FLOORS[source]:
        return f"floor {FLOORS[source]} ({source}) must import downwards"
    if source in JOINS and target not in JOINS[source]:
        return f"{source} joins {sorted(JOINS[source])} only"
    return None


def module_name(path: Path) -> str:
    """The dotted name of a file below the root."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def source_files() -> list[Path]:
    """Every Python file of the library and the side wing."""
    return [
        path
        for room in (LIBRARY, "data_pipelines")
        for path in sorted((ROOT / room).rglob("*.py"))
    ]


def test_every_import_goes_down():
    complaints = [
        f"{module} imports {name}: {reason}"
        for path in source_files()
        for module in [module_name(path)]
        for name in sorted(imported_modules(path.read_text("utf-8"), module))
        if (reason := violation(module, name))
    ]
    assert not complaints, "\n" + "\n".join(complaints)


def retired_words(source: str) -> set[str]:
    """The identifiers of `source` that `RETIRED` has other words for."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.string for t in tokens if t.type == tokenize.NAME and t.string in RETIRED}


def test_no_retired_word_comes_back():
    paths = [*source_files(), *sorted((ROOT / "experiments").rglob("*.py"))]
    complaints = [
        f"{path.relative_to(ROOT)}: {word} is called {RETIRED[word]}"
        for path in paths
        for word in sorted(retired_words(path.read_text("utf-8")))
    ]
    assert not complaints, "\n" + "\n".join(complaints)


def test_retired_words_are_found_in_code_alone():
    assert retired_words("Worth = 1  # a Tally") == {"Worth"}


@pytest.mark.parametrize(
    "module, source",
    [
        ("omnivla_jax.core.types", "from omnivla_jax.sim import env"),
        ("omnivla_jax.flow.sde", "import omnivla_jax.models.mot"),
        ("omnivla_jax.rl.gspo", "from ..flow import sde"),
        ("omnivla_jax.rl.gspo", "from omnivla_jax import policy"),
        ("omnivla_jax.policy.policy", "from omnivla_jax.sim import scene"),
        ("omnivla_jax.world.observe", "from omnivla_jax.policy import policy"),
        ("omnivla_jax.sim.env", "def f():\n    from omnivla_jax.train import loop"),
        ("omnivla_jax.train.loop", "from experiments import reporting"),
        ("omnivla_jax.train.loop", "from absl import flags"),
        ("omnivla_jax.train.loop", "import ml_collections"),
        ("omnivla_jax.train.loop", "import tensorflow_datasets as tfds"),
        ("omnivla_jax.cellar.x", "from omnivla_jax.core import types"),
        ("data_pipelines.rlds", "from omnivla_jax.world import demos"),
        ("data_pipelines.rlds", "import omnivla_jax"),
    ],
)
def test_the_checker_catches_a_bad_import(module, source):
    found = [violation(module, name) for name in imported_modules(source, module)]
    assert any(found)


@pytest.mark.parametrize(
    "module, source",
    [
        ("omnivla_jax.flow.sde", "from omnivla_jax.core.types import PyTree"),
        ("omnivla_jax.flow.sde", "from . import path"),
        ("omnivla_jax.policy.policy", "from omnivla_jax.flow import sde"),
        ("omnivla_jax.world.observe", "from omnivla_jax.render import camera"),
        ("omnivla_jax.train.online", "from omnivla_jax.rl import gspo"),
        ("data_pipelines.rlds", "from omnivla_jax.core.types import Episode"),
        ("data_pipelines.rlds", "import tensorflow_datasets as tfds"),
        ("experiments.quickstart", "from absl import flags"),
    ],
)
def test_the_checker_allows_the_house_rules(module, source):
    found = [violation(module, name) for name in imported_modules(source, module)]
    assert found and not any(found)
