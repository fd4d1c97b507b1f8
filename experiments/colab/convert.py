"""Makes the notebooks of this folder from the Python files beside them.

    python -m experiments.colab.convert [--repository=OWNER/NAME]

A cell begins with `# %%`; `# %% [markdown]` has its text in comments, and lines such as
`# !pip install` are commands of the notebook. A badge and the installation are added at
the beginning. Outputs are never stored. Without --repository the badges keep the one
that they have.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Sequence

FOLDER = Path(__file__).parent
SOURCES = ("simulator", "training", "inference", "robustness")
UNKNOWN = "OWNER/NAME"  # until the repository is published
CHECKOUT = "/content/omnivla-rl"
CELL = re.compile(r"^# %%(.*)$", re.MULTILINE)
COMMAND = re.compile(r"^(\s*)# ([!%]\w)", re.MULTILINE)
NOT_TESTED = "skip-execution"  # the tag of cells that nbclient leaves out
COLAB = "https://colab.research.google.com"

BADGE = (
    "[![Open in Colab]({colab}/assets/colab-badge.svg)]"
    "({colab}/github/{repository}/blob/main/experiments/colab/{name}.ipynb)"
)
# Versions are left open. The jax that a runtime has, with its GPU or TPU, is kept where
# it is new enough; else a newer one comes with what it needs for the same device.
INSTALL = """\
#@title Install (once for each runtime)
import glob
from importlib.metadata import version

extras = "experiments,serve"
if tuple(map(int, version("jax").split(".")[:2])) < (0, 10):
    devices = {{"cuda": "/dev/nvidia[0-9]", "tpu": "/dev/accel*"}}
    extras += "".join(f",{{name}}" for name in devices if glob.glob(devices[name]))
!git clone --quiet --depth=1 https://github.com/{repository} {checkout}
%pip install --quiet --editable {checkout}[{{extras}}]
%cd {checkout}"""
METADATA = {
    "colab": {"private_outputs": True, "provenance": [], "toc_visible": True},
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebook(name: str, repository: str) -> dict[str, Any]:
    """The notebook of one file, as JSON.

    Args:
      name: of the file.
      repository: OWNER/NAME on GitHub, which Colab opens it from.
    """
    badge = BADGE.format(colab=COLAB, repository=repository, name=name)
    install = INSTALL.format(repository=repository, checkout=CHECKOUT)
    cells = [
        _cell("markdown", badge, []),
        *_cells((FOLDER / f"{name}.py").read_text("utf-8")),
    ]
    cells.insert(2, _cell("code", install, [NOT_TESTED]))  # behind the title
    for number, cell in enumerate(cells):
        cell["id"] = f"{name}-{number:02d}"
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _cells(source: str) -> list[dict[str, Any]]:
    """The cells of a file; its docstring, before the first, is none."""
    _, *parts = CELL.split(source)
    cells = []
    for heading, body in zip(parts[::2], parts[1::2], strict=True):
        text = body.strip("\n")
        if "[markdown]" in heading:
            lines = [
                line.removeprefix("#").removeprefix(" ") for line in text.split("\n")
            ]
            cells.append(_cell("markdown", "\n".join(lines), []))
        else:
            tags = [NOT_TESTED] if NOT_TESTED in heading else []
            cells.append(_cell("code", COMMAND.sub(r"\1\2", text), tags))
    return cells


def _cell(kind: str, text: str, tags: Sequence[str]) -> dict[str, Any]:
    """One cell without an output."""
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": "",
        "metadata": {"tags": list(tags)} if tags else {},
        "source": text.splitlines(keepends=True),
    }
    return cell | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def current_repository() -> str:
    """The repository that the badges name now."""
    path = FOLDER / f"{SOURCES[0]}.ipynb"
    text = path.read_text("utf-8") if path.exists() else ""
    match = re.search(rf"{COLAB}/github/([\w.-]+/[\w.-]+)/blob", text)
    return match[1] if match else UNKNOWN


def main(arguments: Sequence[str]) -> None:
    """Write every notebook."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repository", default=current_repository())
    repository = parser.parse_args(arguments).repository
    for name in SOURCES:
        text = json.dumps(notebook(name, repository), indent=1, ensure_ascii=False)
        (FOLDER / f"{name}.ipynb").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
