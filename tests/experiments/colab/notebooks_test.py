"""Tests of experiments.colab: notebooks are their Python files, and run."""

import json
import os
import re
from pathlib import Path

import pytest

from experiments.colab import convert

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

ROOT = Path(__file__).parents[3]


def load(name):
    return nbformat.read(convert.FOLDER / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", convert.SOURCES)
def test_a_notebook_is_its_python_file(name):
    stored = json.loads((convert.FOLDER / f"{name}.ipynb").read_text("utf-8"))
    assert stored == convert.notebook(
        name, convert.current_repository()
    ), "run: python -m experiments.colab.convert"
    nbformat.validate(load(name))
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


@pytest.mark.parametrize("name", convert.SOURCES)
def test_a_notebook_runs_on_every_runtime(name):
    text = (convert.FOLDER / f"{name}.ipynb").read_text("utf-8")
    for word in ("MUJOCO_GL", "glvnd", "apt-get", "jax=="):
        assert word not in text, word
    path = re.search(r"blob/main/([\w/]+\.ipynb)", text)
    assert path and (ROOT / path[1]).exists()
    assert text.count("%pip install --quiet --editable") == 1


def test_cells_commands_and_tags_are_converted(tmp_path, monkeypatch):
    source = (
        '"""Doc."""\n\n# %% [markdown]\n# # Title\n#\n# text\n\n# %%\nx = 1\n# !ls\n'
    )
    source += '\n# %% tags=["skip-execution"]\ny = 2\n'
    (tmp_path / "toy.py").write_text(source)
    monkeypatch.setattr(convert, "FOLDER", tmp_path)
    badge, title, install, *code = convert.notebook("toy", "a/b")["cells"]
    assert "github/a/b/blob/main" in badge["source"][0]
    assert "".join(title["source"]) == "# Title\n\ntext"
    assert install["metadata"]["tags"] == [convert.NOT_TESTED]
    assert ["".join(cell["source"]) for cell in code] == ["x = 1\n!ls", "y = 2"]
    assert code[1]["metadata"]["tags"] == [convert.NOT_TESTED]


@pytest.mark.slow
@pytest.mark.parametrize("name", convert.SOURCES)
def test_a_notebook_runs_at_a_small_size(name, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_SMALL", "1")
    monkeypatch.setenv("NOTEBOOK_RUN", str(tmp_path / "run"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = load(name)
    nbclient.NotebookClient(
        book,
        timeout=400,
        kernel_name="python3",
        skip_cells_with_tag=convert.NOT_TESTED,
        resources={"metadata": {"path": str(tmp_path)}},
    ).execute()
    outputs = [out for cell in book.cells for out in cell.get("outputs", ())]
    text = "".join(out.get("text", "") for out in outputs)
    assert "on [CpuDevice" in text, os.linesep.join(text.splitlines()[:5])
    last = {
        "simulator": "successes:",
        "training": "after Flow-GSPO: ",
        "inference": "% of 2 episodes",
        "robustness": "elsewhere under: robot.initial_joints",
    }
    assert last[name] in text
