"""The source obeys the rules of `imports` and `style`; and each rule sees a violation that is planted for it."""

from pathlib import Path

import pytest

from tests.house import imports, style

RULES = (*imports.RULES, *style.RULES)

PLANTED = [
    (imports.floors, "recengine/store/a.py", "from recengine.online import recommender"),
    (imports.floors, "recengine/store/a.py", "from recengine.artifacts.manifest import verify"),
    (imports.floors, "recengine/online/a.py", "def f():\n    import recengine.offline.cycle"),
    (imports.floors, "recengine/online/a.py", "from ..offline import cycle"),
    (imports.floors, "recengine/online/a.py", "from recengine import Engine"),
    (imports.floors, "recengine/kernels/a.py", "import importlib\nimportlib.import_module('recengine.engine')"),
    (imports.floors, "recengine/attic/a.py", "x = 1"),
    (imports.doors, "recengine/online/a.py", "import duckdb"),
    (imports.doors, "recengine/algorithms/a.py", "from recengine._native import als"),
    (imports.doors, "recengine/algorithms/a.py", "from recengine._native.als import sweep"),
    (imports.doors, "recengine/trees2.py", "from lightgbm import Booster"),
    (imports.doors, "recengine/engine.py", "from onnxruntime import InferenceSession"),
    (imports.doors, "recengine/engine.py", "import hnswlib, litestar.handlers"),
    (imports.doors, "recengine/trust/keys.py", "from cryptography.hazmat import primitives"),
    (imports.doors, "recengine/offline/train.py", "import torch"),
    (imports.late, "recengine/engine.py", "def f():\n    from recengine import types"),
    (imports.late, "recengine/engine.py", "def f():\n    import json"),
    (imports.type_checking, "recengine/engine.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass"),
    (imports.type_checking, "recengine/engine.py", "import typing\nif typing.TYPE_CHECKING:\n    pass"),
    (style.length, "recengine/a.py", "x = 1\n" * 401),
    (style.length, "_native/a.pyx", "# x\n" * 401),
    (style.length, "sql/store/a.sql", "-- x\n" * 401),
    (style.length, "bench/a.py", "x = 1\n" * 401),
    (style.names, "recengine/store/utils.py", ""),
    (style.names, "recengine/common/a.py", ""),
    (style.names, "tests/data_helpers.py", ""),
    (style.names, "recengine/a.py", "class BaseModel: ..."),
    (style.names, "recengine/a.py", "class AbstractStore: ..."),
    (style.names, "recengine/a.py", "class StoreImpl: ..."),
    (style.names, "recengine/a.py", "class A:\n    def get_x(self): ..."),
    (style.names, "_native/a.pyx", "cdef inline float get_x(int a) noexcept nogil:\n    return a"),
    (style.exports, "recengine/a.py", "x = 1"),
    (style.exports, "recengine/a.py", "__all__ = ['x']\nx = 1"),
    (style.exports, "recengine/a.py", "__all__ = ('y',)\nx = 1"),
    (style.documented, "recengine/a.py", "x = 1"),
    (style.documented, "recengine/a.py", '"""A."""\ndef f(): ...'),
    (style.documented, "recengine/a.py", '"""A."""\nclass A:\n    """A."""\n    def f(self): ...'),
    (style.documented, "_native/a.pyx", "cimport cython"),
    (style.dangerous, "recengine/a.py", "import pickle"),
    (style.dangerous, "recengine/a.py", "from joblib import load"),
    (style.dangerous, "recengine/a.py", "x = eval('1')"),
    (style.dangerous, "recengine/a.py", "exec('x = 1')"),
    (style.dangerous, "recengine/a.py", "np.load(f, allow_pickle=True)"),
    (style.dangerous, "recengine/a.py", "def f():\n    raise NotImplementedError"),
    (style.dangerous, "recengine/a.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (style.sql_in_python, "recengine/a.py", "x.execute(f'SELECT * FROM {table}')"),
    (style.sql_in_python, "recengine/a.py", "x.execute('SELECT 1')"),
    (style.sql_in_python, "recengine/store/a.py", "x = 'INSERT INTO t VALUES (1)'"),
    (style.sql_in_python, "recengine/store/a.py", "x = 'CREATE TEMP TABLE t (a INT)'"),
    (style.environment, "recengine/a.py", "import os\nx = os.environ['A']"),
    (style.environment, "recengine/a.py", "from os import getenv"),
]

HARMLESS = {
    "recengine/__init__.py": '"""A package."""\n\nfrom recengine.engine import Engine\n\n__all__ = ("Engine",)\n',
    "recengine/engine.py": '"""Select one FROM many, in prose."""\n\nimport json\n\nfrom recengine.store import vocab\n\n__all__ = ("Engine",)\n\n\n'
    'class Engine:\n    """An engine."""\n\n    def f(self):\n        """F."""\n        import recengine.models\n        import ray\n',
    "recengine/store/__init__.py": '"""A room."""\n',
    "recengine/store/vocab.py": '"""Words."""\n\nimport duckdb\n\n__all__ = ("x",)\n\nx = "select an item from the list"\n',
    "recengine/offline/neural.py": '"""Late."""\n\n__all__ = ()\n\n\ndef _f():\n    import recengine.models\n',
    "recengine/cli.py": '"""Door."""\n\nimport os\n\n__all__ = ("x",)\n\nx = os.environ\n',
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_obeys(rule):
    assert rule() == []


@pytest.mark.parametrize(("rule", "where", "text"), PLANTED, ids=[f"{r.__name__}-{i}" for i, (r, _, _) in enumerate(PLANTED)])
def test_the_rule_sees_a_planted_violation(rule, where, text, tmp_path):
    plant(tmp_path, {where: text})
    assert any(where in line for line in rule(tmp_path))


def test_every_rule_has_a_planted_violation():
    assert {rule for rule, _, _ in PLANTED} | {imports.circles} == set(RULES)


def test_a_circle_is_seen_and_a_chain_is_not(tmp_path):
    plant(tmp_path, {"recengine/store/a.py": "from recengine.store import b", "recengine/store/b.py": "from recengine.store.c import x"})
    plant(tmp_path, {"recengine/store/c.py": "x = 1"})
    assert imports.circles(tmp_path) == []
    plant(tmp_path, {"recengine/store/c.py": "from . import a\nx = 1"})
    assert imports.circles(tmp_path) == ["circle of imports among: recengine.store.a, recengine.store.b, recengine.store.c"]


@pytest.mark.parametrize("rule", [r for r in RULES if r is not imports.doors], ids=lambda rule: rule.__name__)
def test_the_rule_leaves_harmless_source_alone(rule, tmp_path):
    plant(tmp_path, HARMLESS)
    assert rule(tmp_path) == []


def test_a_door_is_open_to_its_own_room(tmp_path):
    plant(tmp_path, {"recengine/store/a.py": "import duckdb", "recengine/kernels/a.py": "from recengine._native import als"})
    plant(tmp_path, {"recengine/offline/neural.py": "def f():\n    import recengine.models", "models/a.py": "import torch"})
    assert imports.doors(tmp_path) == []


def plant(root: Path, files: dict[str, str]) -> None:
    for where, text in files.items():
        path = root / where
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
