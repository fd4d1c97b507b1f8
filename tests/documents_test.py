"""Tests of the documents: sizes, and what they name exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")], key=lambda path: path.name
)
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)\)")
FILE = re.compile(r"`((?:omnivla_jax|experiments|data_pipelines|tests|docs)/[\w/.-]+)`")
TEST = re.compile(r"`([\w/]+_test)`")
LAUNCHER = re.compile(r"python -m ((?:experiments|tests)\.[\w.]+\w)")
PLACEHOLDER = "NAME"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_files_and_launchers_exist(path):
    text = path.read_text("utf-8")
    named = [path.parent / target for target in LINK.findall(text)]
    named += [ROOT / name for name in FILE.findall(text) if not name.endswith("_test")]
    named += [(ROOT / "tests" / name).with_suffix(".py") for name in TEST.findall(text)]
    for module in LAUNCHER.findall(text):
        named.append((ROOT / module.replace(".", "/")).with_suffix(".py"))
    missing = [str(each) for each in named if not each.exists()]
    assert [each for each in missing if PLACEHOLDER not in each] == []


def test_the_readme_is_short():
    text = (ROOT / "README.md").read_text("utf-8")
    assert len(text.splitlines()) <= 130 and len(text.split()) <= 1100
