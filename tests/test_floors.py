"""The house stands: a module imports strictly lower floors, or its own folder."""

import ast
from pathlib import Path

import pytest

import xlsr

ROOT = Path(xlsr.__file__).parent
FLOORS = {
    "errors": 0, "version": 0, "tables": 0, "compiled": 0, "recorded": 0, "phones": 0,
    "config": 1, "audio": 1, "features": 1, "results": 1, "tokenizer": 1, "normalize": 1,  "metrics": 1,
    "similarity": 1, "classifiers": 1,
    "decoding": 2, "model": 2, "data": 2, "report": 2, "stitching": 2,
    "checkpoint": 3, "engines": 3, "alignment": 3,
    "recognizer": 4, "training": 4,
    "export": 5, "evaluation": 5, "analysis": 5, "streaming": 5,
    "recordings": 6,
    "cli": 7, "__main__": 8,
}  # fmt: skip
MODULES = sorted(ROOT.rglob("*.py"))


def room(module: str) -> str:
    return module.split(".")[1] if module.count(".") else ""


def imports(path: Path) -> set[str]:
    """Every module of ours that a file imports, also inside functions, as dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name for name in found if name.split(".")[0] == "xlsr"}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_imports_go_down_the_floors(path: Path) -> None:
    own = path.relative_to(ROOT).with_suffix("").parts[0]
    if own == "__init__":
        return  # the lazy names at the top point everywhere
    assert own in FLOORS, f"{own} has no floor: give it one here and in docs/architecture.md"
    for name in imports(path):
        target = room(name)
        if not target:
            assert FLOORS[own] >= 7, f"{path} imports the whole package"
        elif target != own:
            assert FLOORS[target] < FLOORS[own], f"{own} (floor {FLOORS[own]}) imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_small(path: Path) -> None:
    source = path.read_text("utf-8")
    assert source.count("\n") <= 400, f"{path} has {source.count(chr(10))} lines; 400 are the limit"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.body[0].lineno + 1  # a verb's options are no code
            docs = ast.get_docstring(node, clean=False) or ""
            assert lines - docs.count("\n") <= 45, f"{path}:{node.lineno} {node.name} has {lines} lines"
