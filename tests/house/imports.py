"""Rules about imports: floors, circles, doors, and where an import may stand. Each returns its violations as lines."""

import ast
from pathlib import Path

from tests.house.source import PACKAGE, ROOT, Module, in_functions, modules

FLOORS = {
    "errors": 0,
    "types": 0,
    "_native": 0,
    "sql": 0,
    "hashes": 0,
    "config": 1,
    "kernels": 1,
    "crypto": 1,
    "arrays": 1,
    "durable": 1,
    "onnx": 1,
    "client": 1,
    "store": 2,
    "artifacts": 2,
    "index": 2,
    "encoders": 2,
    "trees": 2,
    "expressions": 2,
    "metrics": 2,
    "features": 3,
    "algorithms": 3,
    "experiments": 3,
    "monitoring": 3,
    "trust": 3,
    "retrieval": 4,
    "models": 4,
    "online": 5,
    "offline": 5,
    "jobs": 6,
    "engine": 7,
    "server": 8,
    "demo": 8,
    "cli": 9,
    "__main__": 10,
    "": 8,  # `recengine/__init__.py` lifts the public names: from the engine down
}
DOORS = {
    "adbc_driver_manager": ("recengine/store/",),
    "adbc_driver_postgresql": ("recengine/store/",),
    "adbc_driver_sqlite": ("recengine/store/",),
    "duckdb": ("recengine/store/",),
    "onnxruntime": ("recengine/onnx.py",),
    "lightgbm": ("recengine/trees.py",),
    "hnswlib": ("recengine/index/",),
    "cryptography": ("recengine/crypto.py",),
    "httpx": ("recengine/client/",),
    "granian": ("recengine/server/",),
    "litestar": ("recengine/server/",),
    "prometheus_client": ("recengine/server/",),
    "torch": ("models/",),
    "onnx": ("models/",),
    "recengine._native": ("recengine/kernels/",),
    "recengine.models": ("recengine/offline/neural.py", "models/"),
}
LATE = ("recengine.models", "ray", "lightgbm", "onnxruntime")
"""What a function may import: the first two because the core install does not have them; LightGBM because it takes
0.3 s (it loads pandas where that is installed), and `import recengine` and serving never need it; ONNX Runtime because
it takes 20 MB, and a deployment without neural models never needs it."""


def imported(module: Module) -> list[tuple[ast.AST, str]]:
    """Every (node, dotted name) that `module` imports, `from x import y` as `x.y`, string imports included."""
    found: list[tuple[ast.AST, str]] = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found += [(node, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.name.split(".")
                keep = len(parts) - node.level + module.is_package
                base = ".".join([*parts[:keep], *([base] if base else [])])
            found += [(node, f"{base}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"}:
                found.append((node, str(node.args[0].value)))
    return found


def _targets(module: Module, names: set[str]) -> list[tuple[ast.AST, str]]:
    """The modules of our own that `module` imports: `recengine.config.Als` -> `recengine.config`."""
    found = []
    for node, dotted in imported(module):
        if dotted.split(".")[0] != PACKAGE:
            continue
        known = dotted
        while known not in names and "." in known and known.count(".") > 1:
            known = known.rpartition(".")[0]
        if known == dotted and known not in names and known.count(".") == 1 and known.split(".")[1] not in FLOORS:
            known = PACKAGE  # `from recengine import Engine`
        found.append((node, known))
    return found


def floors(root: Path = ROOT) -> list[str]:
    """Imports go down only; neighbours on one floor do not import each other; every room has a floor."""
    everything = modules(root)
    names = {m.name for m in everything}
    bad = [f"{m.where}: room `{m.room}` has no floor" for m in everything if m.room not in FLOORS]
    for module in everything:
        if module.room not in FLOORS:
            continue
        for node, target in _targets(module, names):
            room = target.partition(".")[2].partition(".")[0]
            if room == module.room or (module.room == "offline" and room == "models"):
                continue
            if FLOORS.get(room, 99) >= FLOORS[module.room]:
                bad.append(f"{module.where}:{node.lineno}: floor {FLOORS[module.room]} imports {target}")
    return bad


def circles(root: Path = ROOT) -> list[str]:
    """No module reaches itself through imports, not even inside a folder."""
    everything = modules(root)
    names = {m.name for m in everything}
    needs = {m.name: {t for _, t in _targets(m, names) if t in names and t != m.name} for m in everything}
    while True:
        free = [name for name, below in needs.items() if not below]
        if not free:
            break
        for name in free:
            del needs[name]
        for below in needs.values():
            below.difference_update(free)
    stuck = {name for name in needs if any(name in below for below in needs.values())}
    return [f"circle of imports among: {', '.join(sorted(stuck))}"] if stuck else []


def doors(root: Path = ROOT) -> list[str]:
    """A third party is imported by the room that owns it, and by nobody else."""
    bad = []
    for module in modules(root):
        for node, dotted in imported(module):
            for library, rooms in DOORS.items():
                if (dotted == library or dotted.startswith(f"{library}.")) and not module.where.startswith(rooms):
                    bad.append(f"{module.where}:{node.lineno}: `{library}` belongs to {' and '.join(rooms)}")
    return bad


def late(root: Path = ROOT) -> list[str]:
    """Imports stand at the top of a module, so that the floors can be read there."""
    bad = []
    for module in modules(root):
        inside = in_functions(module.tree)
        for node, dotted in imported(module):
            if node in inside and not any(dotted == name or dotted.startswith(f"{name}.") for name in LATE):
                bad.append(f"{module.where}:{node.lineno}: `{dotted}` is imported inside a function")
    return bad


def type_checking(root: Path = ROOT) -> list[str]:
    """No TYPE_CHECKING blocks: the type moves down a floor."""
    bad = []
    for module in modules(root):
        for node in ast.walk(module.tree):
            named = node.id if isinstance(node, ast.Name) else getattr(node, "attr", None)
            if named == "TYPE_CHECKING":
                bad.append(f"{module.where}:{node.lineno}: TYPE_CHECKING")
    return bad


RULES = (floors, circles, doors, late, type_checking)
