"""How the source is built: sizes, import levels, and what an extension touches.

Run: `python -m experiments.benchmarks.structure`; prints one JSON object. Reads the
files of the checkout and imports none of them.

Files that an extension touches are counted on an implementation that is there: its own
module (a package counts once), every file that imports it, and every file in which a
string is exactly its name.
"""

import ast
import json
import statistics
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

ROOT = Path(__file__).parents[2]
SOURCES = ("omnivla_jax", "data_pipelines", "experiments")
LIBRARY = SOURCES[:2]
MOST_WORDS = 8  # of a test's name

Function = ast.FunctionDef | ast.AsyncFunctionDef
Trees = Mapping[str, ast.Module]  # by the path of the file below the root


class Extension(NamedTuple):
    """An implementation whose files are counted."""

    name: str  # in its registry
    module: str  # its own file or package


EXTENSIONS = {
    "action_head": Extension("l1", "omnivla_jax/policy/heads/l1.py"),
    "reader": Extension("droid_rlds", "data_pipelines/readers/droid_rlds.py"),
    "engine": Extension("mjx_warp", "omnivla_jax/sim/engines/mjx_warp.py"),
    "category": Extension(
        "wine_bottle", "omnivla_jax/sim/data/categories/wine_bottle.json"
    ),
}


def measure(root: Path) -> dict[str, Any]:
    """Every number, from the files below `root`."""
    trees = {
        path.relative_to(root).as_posix(): ast.parse(path.read_text("utf-8"))
        for folder in (*SOURCES, "tests")
        for path in sorted((root / folder).rglob("*.py"))
    }
    tests = {path: tree for path, tree in trees.items() if path.startswith("tests/")}
    sources = {path: tree for path, tree in trees.items() if path not in tests}
    library = {p: tree for p, tree in sources.items() if p.split("/")[0] in LIBRARY}
    lines = {p: (root / p).read_text("utf-8").count("\n") for p in sources}
    longest = max(lines, key=lambda path: lines[path])
    return {
        "sim": {
            "files": len(list((root / "omnivla_jax/sim").glob("*.py"))) - 1,
            "import_levels": import_levels(trees, "omnivla_jax/sim"),
        },
        "functions": function_sizes(sources),
        "source_lines": sum(lines.values()),
        "longest_file": {"file": longest, "lines": lines[longest]},
        "readme_words": len((root / "README.md").read_text("utf-8").split()),
        "files_to_touch": {
            kind: files_to_touch(library, extension, root)
            for kind, extension in EXTENSIONS.items()
        },
        "test_names_over_eight_words": sum(
            node.name.startswith("test_") and node.name.count("_") > MOST_WORDS
            for tree in tests.values()
            for node in ast.walk(tree)
            if isinstance(node, Function)
        ),
        "files_following_environment": len(files_following(library, "environment")),
    }


def function_sizes(trees: Trees) -> dict[str, Any]:
    """Lengths in lines, and how many functions are one statement and a docstring."""
    lengths, single = {}, 0
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if not isinstance(node, Function):
                continue
            place = f"{path}:{node.name}:{node.lineno}"
            lengths[place] = (node.end_lineno or node.lineno) - node.lineno + 1
            single += len(node.body) - (ast.get_docstring(node) is not None) == 1
    longest = max(lengths, key=lambda place: lengths[place])
    return {
        "count": len(lengths),
        "median_lines": statistics.median(lengths.values()),
        "p90_lines": statistics.quantiles(lengths.values(), n=10)[-1],
        "of_one_statement": single,
        "of_one_statement_share": round(single / len(lengths), 3),
        "longest": {"function": longest, "lines": lengths[longest]},
    }


def import_levels(trees: Trees, package: str) -> int:
    """Length of the longest chain of imports inside `package`, in boxes.

    A box is a file of the package itself or a whole package inside it; boxes that
    import each other count as one level.
    """
    graph: dict[str, set[str]] = {}
    for path, tree in trees.items():
        if path.startswith(f"{package}/"):
            box = _box(path, package)
            imported = {_box(f, package) for f in imported_files(tree, path, trees)}
            graph.setdefault(box, set()).update(imported - {"", "__init__", box})
    graph.pop("__init__", None)
    reach = {box: _reachable(graph, box) for box in graph}
    levels: dict[str, int] = {}

    def level(box: str) -> int:
        if box not in levels:
            cycle = {b for b in reach[box] if box in reach[b]} | {box}
            below = {other for b in cycle for other in graph[b]} - cycle
            levels[box] = 1 + max(map(level, below), default=0)
        return levels[box]

    return max(map(level, graph), default=0)


def files_to_touch(trees: Trees, extension: Extension, root: Path) -> int | None:
    """Files that another such extension adds or changes; None: it is not there."""
    name, module = extension
    if not (root / module).exists():
        return None

    inside = {path for path in trees if path == module or path.startswith(f"{module}/")}
    others = {
        path
        for path, tree in trees.items()
        if path not in inside
        and (
            inside & imported_files(tree, path, trees)
            or any(
                isinstance(node, ast.Constant) and node.value == name
                for node in ast.walk(tree)
            )
        )
    }
    return 1 + len(others)


def files_following(trees: Trees, name: str) -> list[str]:
    """Files of train/ that a reader of online/step.py enters on following a variable.

    Those that its imports reach and that have a variable or parameter of that name.
    """
    start, folder = "omnivla_jax/train/online/step.py", "omnivla_jax/train/"
    inside = {path: tree for path, tree in trees.items() if path.startswith(folder)}
    graph = {path: imported_files(tree, path, inside) for path, tree in inside.items()}
    return sorted(
        path
        for path in _reachable(graph, start) | {start}
        if any(
            isinstance(node, ast.arg | ast.keyword) and node.arg == name
            for node in ast.walk(inside[path])
        )
    )


def imported_files(tree: ast.Module, path: str, trees: Trees) -> set[str]:
    """Files among `trees` that a file imports, wherever the import stands.

    `from package import name` is the file of that name where there is one; a package is
    its __init__.py.
    """
    files = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.split("/")[: -node.level]
                base = ".".join([*package, *([base] if base else [])])
            names = [(base, alias.name) for alias in node.names]
        else:
            continue
        for base, name in names:
            parent = base.replace(".", "/")
            candidates = [f"{parent}/{name}.py", f"{parent}/{name}/__init__.py"]
            candidates += [f"{parent}.py", f"{parent}/__init__.py"]
            files |= set([file for file in candidates if file in trees][:1])
    return files


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    """What a walk along `graph` meets after `start`; itself only on a circle."""
    reached: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - reached
        reached |= new
        waiting += new
    return reached


def _box(path: str, package: str) -> str:
    """The file or inner package of `package` in which a file lies; "": none."""
    if not path.startswith(f"{package}/"):
        return ""
    return path.removeprefix(f"{package}/").split("/")[0].removesuffix(".py")


def main(argv: Sequence[str] = ()) -> None:
    """Measure this checkout and print."""
    del argv
    print(json.dumps({"benchmark": "structure", **measure(ROOT)}, indent=1))


if __name__ == "__main__":
    main()
