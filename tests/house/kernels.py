"""Rules about kernels: each has a door, an oracle, and a property test against it. Each returns its violations as lines."""

import ast
import re
from pathlib import Path

from tests.house.imports import imported
from tests.house.source import ROOT, modules

ORACLE_LINES = 40


def doors_by_kernel(root: Path = ROOT) -> dict[str, list[str]]:
    """Map the stem of every .pyx to the families (`recengine/kernels/<family>.py`) that import it."""
    found: dict[str, list[str]] = {path.stem: [] for path in sorted((root / "_native").glob("*.pyx"))}
    for module in modules(root, ("recengine",)):
        if module.room != "kernels" or module.is_package:
            continue
        for _, dotted in imported(module):
            stem = dotted.removeprefix("recengine._native.").split(".")[0]
            if dotted.startswith("recengine._native.") and stem in found:
                found[stem].append(module.name.rpartition(".")[2])
    return found


def oracles(root: Path = ROOT) -> list[str]:
    """Every kernel has a numpy oracle of at most 40 lines in tests/oracles, which reads no kernel."""
    bad = []
    for stem, families in doors_by_kernel(root).items():
        if not families:
            bad.append(f"_native/{stem}.pyx: no door in recengine/kernels imports it")
        for family in sorted(set(families)):
            path = root / "tests" / "oracles" / f"{family}.py"
            if not path.exists():
                bad.append(f"_native/{stem}.pyx: no oracle tests/oracles/{family}.py")
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
            long = [f.name for f in functions if (f.end_lineno or 0) - f.lineno + 1 > ORACLE_LINES]
            bad += [f"tests/oracles/{family}.py: `{name}` is longer than {ORACLE_LINES} lines" for name in long]
            if not functions:
                bad.append(f"tests/oracles/{family}.py: has no function")
            if re.search(r"^\s*(?:from|import)\s+recengine\.(?:kernels|_native)", path.read_text(encoding="utf-8"), re.MULTILINE):
                bad.append(f"tests/oracles/{family}.py: an oracle that calls a kernel proves nothing")
    return bad


def properties(root: Path = ROOT) -> list[str]:
    """Every kernel has a hypothesis test that draws inputs and asks door and oracle."""
    bad = []
    for stem, families in doors_by_kernel(root).items():
        for family in sorted(set(families)):
            path = root / "tests" / "unit" / f"test_{family}_kernel.py"
            text = path.read_text(encoding="utf-8") if path.exists() else ""
            asks_oracle = re.search(rf"tests\.oracles(?:\.| import .*\b){family}\b", text)
            if not ("@given" in text and asks_oracle and f"recengine.kernels.{family}" in text.replace(" import ", ".")):
                bad.append(f"_native/{stem}.pyx: tests/unit/test_{family}_kernel.py must hold it against its oracle with @given")
    return bad


def compiled(root: Path = ROOT) -> list[str]:
    """Kernels give the same bits everywhere: no fast-math, no fused types, no C source kept beside the .pyx."""
    bad = [f"{p.relative_to(root)}: generated" for p in (root / "_native").glob("*.c") if (p.with_suffix(".pyx")).exists()]
    for path in [*sorted((root / "_native").glob("*.p[yx][xd]")), *sorted((root / "_native").glob("*.h")), root / "setup.py"]:
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for number, line in enumerate(text.splitlines(), 1):
            code = line.split("#", 1)[0] if path.suffix != ".h" else line
            if re.search(r"-ffast-math|-Ofast|fast-math|ctypedef\s+fused|cython\.floating|cython\.numeric", code):
                bad.append(f"{path.relative_to(root)}:{number}: {line.strip()}")
    return bad


RULES = (oracles, properties, compiled)
