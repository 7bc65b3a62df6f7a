"""Read a source tree for the rules: modules with their syntax trees, and the plain text of everything that is kept."""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "recengine"
TOP_LEVEL = {"_native": "recengine._native", "sql": "recengine.sql", "models": "recengine.models"}
"""Folders that are installed inside the package."""


@dataclass(frozen=True)
class Module:
    """One Python file: `name` as imported, `where` relative to the root."""

    name: str
    where: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """`recengine.store.vocab` -> `store`; `recengine` itself -> ``."""
        return self.name.partition(".")[2].partition(".")[0]

    @property
    def is_package(self) -> bool:
        return self.where.endswith("__init__.py")


def modules(root: Path = ROOT, folders: tuple[str, ...] = (PACKAGE, *TOP_LEVEL)) -> list[Module]:
    """Parse every .py of `folders` under `root`."""
    found = []
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            where = path.relative_to(root)
            parts = [*TOP_LEVEL.get(folder, folder).split("."), *where.with_suffix("").parts[1:]]
            name = ".".join(parts).removesuffix(".__init__")
            text = path.read_text(encoding="utf-8")
            found.append(Module(name, where.as_posix(), text, ast.parse(text, filename=str(where))))
    return found


def shipped(root: Path = ROOT) -> list[Module]:
    """The modules of the package proper."""
    return modules(root, (PACKAGE,))


def kept(root: Path = ROOT, suffixes: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Yield (path, text) of every file that git tracks or would add; of every file where `root` is no checkout."""
    listed: list[str] = []
    if (root / ".git").exists():
        ask = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(ask, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    if not listed:
        listed = [p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()]
    for where in sorted(set(listed)):
        path = root / where
        if not path.is_file() or (suffixes and path.suffix not in suffixes):
            continue
        content = path.read_bytes()
        if b"\0" not in content:
            yield where, content.decode("utf-8")


def in_functions(tree: ast.Module) -> set[ast.AST]:
    """Every node that stands inside a function."""
    inside: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inside.update(child for child in ast.walk(node) if child is not node)
    return inside


def docstrings(tree: ast.Module) -> set[ast.AST]:
    """The constants that are bare string statements: docstrings, and those under a field."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
