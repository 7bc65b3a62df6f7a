"""Rules about files, names, docstrings and dangerous calls. Each returns its violations as lines."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.source import ROOT, Module, docstrings, kept, modules, shipped

LIMIT = 400
"""Lines of a file; 80 to 250 is the aim."""
VAGUE = {"util", "utils", "common", "helper", "helpers", "manager", "managers", "misc"}
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
SQL = re.compile(
    r"^\s*(?:SELECT\s|INSERT\s+INTO\s|DELETE\s+FROM\s|UPDATE\s+\S+\s+SET\s|WITH\s+\S+\s+AS\s*\(|(?:CREATE|DROP|ALTER)\s+"
    r"(?:OR\s+REPLACE\s+)?(?:TEMP\w*\s+)?(?:TABLE|VIEW|SCHEMA|INDEX|SEQUENCE|TYPE)\s|COPY\s|ATTACH\s|DETACH\s)"
    r"|\bSELECT\b[^.]*\bFROM\b|\bINSERT\s+INTO\b|\bDELETE\s+FROM\b"
)


def length(root: Path = ROOT) -> list[str]:
    """No file above 400 lines: kernels, SQL, tests and benches too."""
    sized = ((where, text.count("\n") + 1) for where, text in kept(root, (".py", ".pyx", ".pxd", ".h", ".c", ".sql")))
    return [f"{where}: {lines} lines, {LIMIT} is the limit" for where, lines in sized if lines > LIMIT + 1]


def _defined(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def names(root: Path = ROOT) -> list[str]:
    """Names say what a thing is: no utils, no Base, Abstract, Impl or Manager, no `get_`."""
    bad = []
    for where, _ in kept(root, (".py", ".pyx", ".pxd", ".sql")):
        parts = Path(where).with_suffix("").parts
        bad += [f"{where}: `{part}` says nothing" for part in parts if VAGUE & set(part.lower().split("_"))]
    for module in modules(root):
        for node in _defined(module.tree):
            if isinstance(node, ast.ClassDef):
                if re.search(r"^_?(Base|Abstract)[A-Z]|(Impl|Manager|Helper|Utils?)$", node.name):
                    bad.append(f"{module.where}:{node.lineno}: class {node.name}")
            elif re.match(r"_*get_", node.name):
                bad.append(f"{module.where}:{node.lineno}: {node.name}: name what it returns, or what it does")
    for where, text in kept(root, (".pyx", ".pxd")):
        lines = enumerate(text.splitlines(), 1)
        bad += [f"{where}:{number}: {line}" for number, line in lines if re.match(r"\s*c?p?def\s.*\bget_\w+\(", line)]
    return bad


def exports(root: Path = ROOT) -> list[str]:
    """Every module says in `__all__`, a tuple, what others may use; what it lists exists."""
    bad = []
    for module in shipped(root):
        if module.is_package and len(module.tree.body) <= 1:
            continue
        listed = [n for n in module.tree.body if isinstance(n, ast.Assign | ast.AnnAssign) and "__all__" in _bound(n)]
        if not listed or not isinstance(listed[0].value, ast.Tuple):
            bad.append(f"{module.where}: needs `__all__` as a tuple")
            continue
        existing = {name for node in module.tree.body for name in _bound(node)}
        entries = [entry.value for entry in listed[0].value.elts if isinstance(entry, ast.Constant)]
        bad += [f"{module.where}: `__all__` lists `{e}`, which does not exist" for e in entries if e not in existing]
    return bad


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.split(".")[0] for alias in node.names}
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def documented(root: Path = ROOT) -> list[str]:
    """Modules, public classes and public functions say what they are for; kernels too."""
    bad = []
    for module in modules(root):
        if not ast.get_docstring(module.tree):
            bad.append(f"{module.where}: no module docstring")
        bad += [f"{module.where}:{n.lineno}: `{n.name}` has no docstring" for n in _public(module.tree.body) if not ast.get_docstring(n)]
    for where, text in kept(root, (".pyx", ".pxd")):
        if not re.match(r"(?:\s*#[^\n]*\n|\s*\n)*\s*(?:\"\"\"|# )", text):
            bad.append(f"{where}: no opening docstring")
    return bad


def _public(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        if any("override" in ast.unparse(d) or "overload" in ast.unparse(d) for d in node.decorator_list):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body)


def dangerous(root: Path = ROOT) -> list[str]:
    """No pickles, no `eval`, no `exec`, no stub that raises NotImplementedError, no error swallowed whole."""
    bad = []
    for module in modules(root):
        for node in ast.walk(module.tree):
            what = _danger(node)
            if what:
                bad.append(f"{module.where}:{node.lineno}: {what}")
    return bad


def _danger(node: ast.AST) -> str | None:
    if isinstance(node, ast.Import | ast.ImportFrom):
        roots = {(node.module or "").split(".")[0]} if isinstance(node, ast.ImportFrom) else {a.name.split(".")[0] for a in node.names}
        return "pickles run what they hold" if roots & PICKLES else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec", "compile", "__import__"}:
        return f"`{node.func.id}`"
    if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and getattr(node.value, "value", True) is not False:
        return "allow_pickle"
    if isinstance(node, ast.Name) and node.id == "NotImplementedError":
        return "a stub: build it when it is needed"
    if isinstance(node, ast.ExceptHandler) and all(isinstance(s, ast.Pass) for s in node.body):
        caught = "" if node.type is None else ast.unparse(node.type)
        return "an error is swallowed" if caught in {"", "Exception", "BaseException"} else None
    return None


def sql_in_python(root: Path = ROOT) -> list[str]:
    """Queries live in sql/, one a file; `store/compose/` alone puts SQL together, from quoted identifiers."""
    bad = []
    for module in modules(root):
        if module.where.startswith("recengine/store/compose/"):
            continue
        prose = docstrings(module.tree)
        formatted = {part for n in ast.walk(module.tree) if isinstance(n, ast.JoinedStr) for part in ast.walk(n) if part is not n}
        for node in ast.walk(module.tree):
            text = _literal(node)
            if text is not None and node not in prose and node not in formatted and SQL.search(text):
                bad.append(f"{module.where}:{node.lineno}: SQL in Python: {text.strip()[:60]!r}")
    return bad


def _literal(node: ast.AST) -> str | None:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def environment(root: Path = ROOT) -> list[str]:
    """`cli.py` alone reads the environment."""
    bad = []
    for module in modules(root):
        if module.where == "recengine/cli.py" or module.where.startswith("recengine/cli/"):
            continue
        bad += [f"{module.where}:{n.lineno}: reads the environment" for n in ast.walk(module.tree) if _reads_environment(module, n)]
    return bad


def _reads_environment(module: Module, node: ast.AST) -> bool:
    reading = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and any(alias.name in reading for alias in node.names)
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr in reading


RULES = (length, names, exports, documented, dangerous, sql_in_python, environment)
