"""Tests of setup.cfg and requirements.txt: what is imported is declared, and pinned."""

import ast
import configparser
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# Distributions whose name is not that of the module that they bring.
MODULES = {
    "absl-py": "absl",
    "mujoco-mjx": "mujoco",
    "orbax-checkpoint": "orbax",
    "pillow": "PIL",
    "tensorflow-datasets": "tensorflow_datasets",
    "imageio-ffmpeg": "imageio_ffmpeg",
}
# Imported where they are used, by an extra: `data`, `fast`, and jax's own of `tpu`.
OPTIONAL = {"PIL", "libtpu", "tokenizers"}
OURS = {"omnivla_jax", "experiments", "data_pipelines", "tests"}


def read_setup() -> configparser.ConfigParser:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    return setup


def parse(text: str) -> list[Requirement]:
    """Requirements of a list in setup.cfg or of a requirements file."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    return [Requirement(line) for line in lines if line]


SETUP = read_setup()
INSTALLED = parse(SETUP["options"]["install_requires"])
EXTRAS = {k: parse(v) for k, v in SETUP["options.extras_require"].items()}
PINS = parse((ROOT / "requirements.txt").read_text()) + parse(
    (ROOT / "tests" / "requirements.txt").read_text()
)


def imported_distributions(package: str, *, without: str = "") -> set[str]:
    """Top-level modules from outside that any file of `package` imports.

    `without`: a folder of the package that is left out.
    """
    names: set[str] = set()
    others = [ROOT / "experiments" / "real_libero" / "worker.py"]  # runs beside LIBERO
    others += (ROOT / "experiments" / "colab").glob("*.py")  # and these in Jupyter
    for path in (ROOT / package).rglob("*.py"):
        if path in others or without and (ROOT / without) in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - OURS - set(sys.stdlib_module_names)


def modules(requirements: list[Requirement]) -> set[str]:
    return {MODULES.get(each.name, each.name) for each in requirements}


def test_the_library_declares_exactly_its_imports():
    library = imported_distributions("omnivla_jax", without="omnivla_jax/interop")
    assert library - OPTIONAL == modules(INSTALLED)


@pytest.mark.parametrize(
    "package, extras",
    [
        ("data_pipelines", ["data"]),
        ("experiments", ["data", "experiments", "serve"]),
        ("omnivla_jax/interop", ["gymnasium"]),
    ],
)
def test_extras_declare_what_their_package_imports(package, extras):
    declared = modules(INSTALLED).union(*(modules(EXTRAS[name]) for name in extras))
    assert imported_distributions(package) - OPTIONAL <= declared


def test_every_pin_lies_in_its_range():
    pinned = {canonicalize_name(pin.name): next(iter(pin.specifier)) for pin in PINS}
    for requirement in INSTALLED + sum(EXTRAS.values(), []):
        pin = pinned.get(canonicalize_name(requirement.name))
        if pin is not None:
            assert requirement.specifier.contains(pin.version), requirement
    required = {canonicalize_name(each.name) for each in INSTALLED}
    assert required <= pinned.keys()


def test_every_folder_of_modules_is_a_package():
    folders = {path.parent for path in (ROOT / "omnivla_jax").rglob("*.py")}
    assert not [path for path in folders if not (path / "__init__.py").is_file()]
