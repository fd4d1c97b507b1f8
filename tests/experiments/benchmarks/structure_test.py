"""Tests of experiments.benchmarks.structure: counts of sources made up for them."""

import ast

import pytest

from experiments.benchmarks import structure
from experiments.benchmarks.structure import Extension

SIM = "omnivla_jax/sim"
TRAIN = "omnivla_jax/train"


def parse(**files):
    """Trees of source texts by path; `__` stands for a slash."""
    texts = {f"{name.replace('__', '/')}.py": text for name, text in files.items()}
    return {path: ast.parse(text) for path, text in texts.items()}


def test_imports_resolve_to_files():
    trees = parse(p__a="", p__b__c="")
    trees["p/b/__init__.py"] = ast.parse("")
    code = "import p.a\nfrom p.b import c, other\nfrom os import path\nfrom . import a"
    found = structure.imported_files(ast.parse(code), "p/x.py", trees)
    assert found == {"p/a.py", "p/b/c.py", "p/b/__init__.py"}


def test_levels_count_packages_and_circles_once():
    trees = parse(
        omnivla_jax__sim__env="from omnivla_jax.sim.goals import reward",
        omnivla_jax__sim__goals__reward="from omnivla_jax.sim.goals import distance",
        omnivla_jax__sim__goals__distance="from omnivla_jax.sim import state",
        omnivla_jax__sim__state="",
    )
    assert structure.import_levels(trees, SIM) == 3
    trees |= parse(omnivla_jax__sim__state="from omnivla_jax.sim import env")
    assert structure.import_levels(trees, SIM) == 1


def test_docstrings_are_not_statements():
    trees = parse(
        a='def f():\n    """Says."""\n    return 1\n',
        b="def g():\n    x = 1\n    def h():\n        return x\n    return h\n",
    )
    found = structure.function_sizes(trees)
    assert (found["count"], found["of_one_statement"]) == (3, 2)
    assert found["longest"] == {"function": "b.py:g:1", "lines": 5}
    assert found["median_lines"] == 3


def test_importers_and_exact_names_are_touched(tmp_path):
    module = "omnivla_jax/policy/heads/l1.py"
    (tmp_path / module).parent.mkdir(parents=True)
    extension = Extension("l1", module)
    trees = parse(
        omnivla_jax__policy__heads__l1='NAME = "l1"',
        omnivla_jax__policy__heads__registry="from omnivla_jax.policy.heads import l1",
        omnivla_jax__policy__config='"""Not l1 alone."""\nHEAD = "l1"',
        omnivla_jax__policy__policy='HEAD = "flow l1"',
    )
    assert structure.files_to_touch(trees, extension, tmp_path) is None
    (tmp_path / module).touch()
    assert structure.files_to_touch(trees, extension, tmp_path) == 3


def test_a_variable_is_followed_along_imports():
    trees = parse(
        omnivla_jax__train__online__step="from omnivla_jax.train import a, c",
        omnivla_jax__train__a="from omnivla_jax.train import b",
        omnivla_jax__train__b="def f(environment): ...",
        omnivla_jax__train__c="f(environment=1)",
        omnivla_jax__train__d="def f(environment): ...",
    )
    found = structure.files_following(trees, "environment")
    assert found == [f"{TRAIN}/b.py", f"{TRAIN}/c.py"]


@pytest.mark.slow
def test_this_checkout_is_measured():
    found = structure.measure(structure.ROOT)
    assert found["functions"]["count"] > 1000 and found["source_lines"] > 10_000
    assert found["files_to_touch"]["engine"] == found["files_to_touch"]["reader"] == 2
    assert found["files_to_touch"]["category"] == 1
