"""Kernels obey the rules of `kernels`; and each rule sees a violation that is planted for it."""

import pytest

from tests.house import kernels
from tests.house.test_rules import plant

WHOLE = {
    "_native/als.pyx": '"""Solve."""\n',
    "recengine/kernels/als.py": "from recengine._native import als as _als",
    "tests/oracles/als.py": "def solve(a):\n    return a\n",
    "tests/unit/test_als_kernel.py": "from recengine.kernels import als\nfrom tests.oracles import als as oracle\n@given(x)\ndef test(): ...\n",
}

PLANTED = [
    (kernels.oracles, {"recengine/kernels/als.py": "x = 1"}),
    (kernels.oracles, {"tests/oracles/als.py": None}),
    (kernels.oracles, {"tests/oracles/als.py": "x = 1"}),
    (kernels.oracles, {"tests/oracles/als.py": "def solve(a):\n" + "    a += 1\n" * 40}),
    (kernels.oracles, {"tests/oracles/als.py": "from recengine.kernels import als\ndef solve(a):\n    return als.solve(a)\n"}),
    (kernels.properties, {"tests/unit/test_als_kernel.py": None}),
    (kernels.properties, {"tests/unit/test_als_kernel.py": "from recengine.kernels import als\ndef test(): ...\n"}),
    (kernels.properties, {"tests/unit/test_als_kernel.py": "from recengine.kernels import als\n@given(x)\ndef test(): ...\n"}),
    (kernels.compiled, {"_native/als.c": "int x;"}),
    (kernels.compiled, {"_native/als.pyx": "ctypedef fused real:\n    float\n    double\n"}),
    (kernels.compiled, {"setup.py": "CFLAGS = ['-ffast-math']"}),
]


@pytest.mark.parametrize("rule", kernels.RULES, ids=lambda rule: rule.__name__)
def test_the_kernels_obey(rule):
    assert rule() == []


@pytest.mark.parametrize("rule", kernels.RULES, ids=lambda rule: rule.__name__)
def test_a_whole_kernel_passes(rule, tmp_path):
    plant(tmp_path, WHOLE)
    assert rule(tmp_path) == []


@pytest.mark.parametrize(("rule", "change"), PLANTED, ids=[f"{r.__name__}-{i}" for i, (r, _) in enumerate(PLANTED)])
def test_the_rule_sees_a_planted_violation(rule, change, tmp_path):
    plant(tmp_path, {where: text for where, text in (WHOLE | change).items() if text is not None})
    assert rule(tmp_path) != []
