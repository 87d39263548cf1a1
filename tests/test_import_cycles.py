"""Imports: no module imports itself through others, in no room of either package."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"


def test_no_imports_are_circular() -> None:
    files = {name_of(path): path for path in SRC.rglob("*.py")}
    graph = {name: imports(path, files.keys()) - {name} for name, path in files.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError with the names of the modules


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, modules: set[str]) -> set[str]:
    """Modules of this project that a file imports anywhere, for types and in functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found |= {name if name in modules else str(node.module) for name in names}
    return found & modules
