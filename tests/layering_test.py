"""Layers of imports, and identifiers that are not to be used again."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = "omnivla_jax"
LAYERS = {
    "core": 0,
    "flow": 1,
    "models": 1,
    "sim": 1,
    "render": 1,
    "rl": 1,
    "policy": 2,
    "world": 2,
    "train": 3,
    "interop": 3,
}
# Layer 2 joins named pairs of packages; elsewhere everything below is open.
JOINS = {
    "policy": {"core", "models", "flow"},
    "world": {"core", "sim", "render"},
}
FORBIDDEN = ("absl", "ml_collections", "tensorflow", "tensorflow_datasets")
LAUNCHER_PACKAGES = ("experiments", "data_pipelines", "tests")
RETIRED_WORDS = Path(__file__).parent / "retired_words"


def load_retired_words() -> dict[str, str]:
    """Identifiers that the field has other words for: {retired: its replacement}.

    Files of lines "retired -> replacement", one for each package that they came from.
    """
    lines = [
        line
        for path in sorted(RETIRED_WORDS.glob("*.txt"))
        for line in path.read_text("utf-8").splitlines()
        if line
    ]
    pairs = [line.split(" -> ") for line in lines]
    return {retired: replacement for retired, replacement in pairs}


RETIRED = load_retired_words()


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
        return _data_pipelines_violation(target)
    if source[0] != LIBRARY:
        return None
    if target[0] in FORBIDDEN:
        return f"{LIBRARY} must not know {target[0]}"
    if target[0] in LAUNCHER_PACKAGES:
        return f"{LIBRARY} must not import upwards"
    if target[0] != LIBRARY or len(source) < 3 or len(target) < 2:
        return None
    return _layer_violation(source[1], target[1])


def _data_pipelines_violation(target: list[str]) -> str | None:
    """data_pipelines may import the library's core and outside packages."""
    if target[0] in ("experiments", "tests"):
        return "data_pipelines must not import upwards"
    if target[0] == LIBRARY and target[1:2] != ["core"]:
        return f"data_pipelines imports {LIBRARY}.core only"
    return None


def _layer_violation(source: str, target: str) -> str | None:
    """Packages import downwards only, and those of layer 2 only what they join."""
    for package in (source, target):
        if package not in LAYERS:
            return f"{package} has no layer: add it to LAYERS"
    if source == target:
        return None
    if LAYERS[target] >= LAYERS[source]:
        return f"layer {LAYERS[source]} ({source}) must import downwards"
    if source in JOINS and target not in JOINS[source]:
        return f"{source} joins {sorted(JOINS[source])} only"
    return None


def module_name(path: Path) -> str:
    """The dotted name of a file below the root."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def source_files() -> list[Path]:
    """Every Python file of the library and of data_pipelines."""
    return [
        path
        for package in (LIBRARY, "data_pipelines")
        for path in sorted((ROOT / package).rglob("*.py"))
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
        ("data_pipelines.rlds", "from omnivla_jax.core.types import Demonstration"),
        ("data_pipelines.rlds", "import tensorflow_datasets as tfds"),
        ("experiments.quickstart", "from absl import flags"),
    ],
)
def test_the_checker_allows_a_good_import(module, source):
    found = [violation(module, name) for name in imported_modules(source, module)]
    assert found and not any(found)
