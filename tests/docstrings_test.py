"""Public functions of the numeric packages say what they take and what they return."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "omnivla_jax"
PACKAGES = ("sim", "world", "render", "train")
WITHOUT = ("sim/engines",)  # whose functions do not all have these sections yet
ARRAYS = {"jax.Array", "np.ndarray", "Array", "ArrayLike"}
MANY = 3  # parameters that need an explanation even if none is an array
NOTHING = (None, "None", "NoReturn")


def annotates_array(annotation: ast.expr | None) -> bool:
    """Whether an annotation names a type of arrays."""
    nodes = ast.walk(annotation) if annotation else ()
    return any(
        ast.unparse(node) in ARRAYS
        for node in nodes
        if isinstance(node, (ast.Name, ast.Attribute))
    )


def missing_sections(function: ast.FunctionDef) -> list[str]:
    """Which of "Args" and "Returns" the docstring of a function needs and lacks."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    taken = [one for one in named if one.arg not in ("self", "cls")]
    arrays = any(map(annotates_array, [one.annotation for one in taken]))
    arrays |= annotates_array(function.returns)
    if len(taken) < MANY and not arrays:
        return []
    text = ast.get_docstring(function) or ""
    returned = ast.unparse(function.returns) if function.returns else None
    needed = {"Args": bool(taken), "Returns": returned not in NOTHING}
    return [name for name, need in needed.items() if need and f"\n{name}:" not in text]


def public_functions(
    body: list[ast.stmt], prefix: str = ""
) -> list[tuple[str, ast.FunctionDef]]:
    """Functions and methods without an underscore; properties are documented fields."""
    functions = []
    for node in body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name[0] == "_":
            continue
        name = f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            functions += public_functions(node.body, f"{name}.")
        elif not any("property" in ast.unparse(d) for d in node.decorator_list):
            functions.append((name, node))
    return functions


@pytest.mark.parametrize("package", PACKAGES)
def test_public_functions_document_arguments_and_results(package):
    complaints = [
        f"{path.relative_to(ROOT)}:{function.lineno}: {name} lacks {missing}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if not path.relative_to(ROOT).as_posix().startswith(WITHOUT)
        for name, function in public_functions(ast.parse(path.read_text("utf-8")).body)
        if (missing := missing_sections(function))
    ]
    assert not complaints, "\n" + "\n".join(complaints)


@pytest.mark.parametrize(
    "source, expected",
    [
        ("def f(x: jax.Array) -> None: ...", ["Args"]),
        ("def f() -> tuple[np.ndarray, int]: ...", ["Returns"]),
        ("def f(a: int, b: int, *, c: int) -> int: ...", ["Args", "Returns"]),
        ("def f(a: int, b: int) -> int: ...", []),
        (
            "def f(x: Array) -> Array:\n  '''X.\n\n  Args:\n    x: y.\n  '''",
            ["Returns"],
        ),
    ],
)
def test_the_checker_knows_what_is_missing(source, expected):
    (function,) = ast.parse(source).body
    assert missing_sections(function) == expected
