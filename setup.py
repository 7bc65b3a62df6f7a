"""Build the kernels: every `_native/*.pyx` becomes `recengine._native.<name>`.

RECENGINE_MARCH     the -march of the compiler; default `native`, use `x86-64-v3` for a portable wheel.
RECENGINE_CHECKS    1 turns bounds, wraparound and initialisation checks on (slow; the tests run on it too).
RECENGINE_SANITIZE  1 adds ASan and UBSan.
"""

import os
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

CHECKS = os.environ.get("RECENGINE_CHECKS") == "1"
SANITIZE = os.environ.get("RECENGINE_SANITIZE") == "1"
MARCH = os.environ.get("RECENGINE_MARCH", "native")

# No -ffast-math: NaN means "not scored" and must survive; kernels that want reassociated sums write out their lanes.
# No contraction either: what is fused is named in fused.h, so that two kernels never round differently by chance.
# Loops stand on cache lines, for the same code ran 20% faster or slower by where the linker happened to put it.
CFLAGS = [
    *("-O3", f"-march={MARCH}", "-mprefer-vector-width=512", "-fopenmp", "-std=gnu11"),
    *("-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-falign-functions=64", "-falign-loops=64"),
    *("-Wno-unused-function", "-g0"),
]
LDFLAGS = ["-fopenmp"]
if SANITIZE:
    CFLAGS += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O2"]
    LDFLAGS += ["-fsanitize=address,undefined"]

# One folder a variant, so that a checked build never picks up the C or the objects of another. The in-place library of
# an editable install has one path for all of them: it depends on `build/variant`, which changes when the variant does.
VARIANT = "-".join([MARCH, *(["checked"] if CHECKS else []), *(["sanitized"] if SANITIZE else [])])
BUILD = f"build/{VARIANT}"
STAMP = Path("build/variant")
if not STAMP.exists() or STAMP.read_text() != VARIANT:
    STAMP.parent.mkdir(exist_ok=True)
    STAMP.write_text(VARIANT)

extensions = [
    Extension(
        f"recengine._native.{path.stem}",
        [str(path)],
        depends=["setup.py", str(STAMP), *map(str, Path("_native").glob("*.h"))],
        include_dirs=[np.get_include(), "_native"],
        extra_compile_args=CFLAGS,
        extra_link_args=LDFLAGS,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    )
    for path in sorted(Path("_native").glob("*.pyx"))
]

PACKAGES = [
    "recengine",
    *sorted(".".join(folder.parent.parts) for folder in Path("recengine").glob("*/**/__init__.py")),
    *("recengine._native", "recengine.sql", "recengine.models"),
]

setup(
    packages=PACKAGES,
    package_dir={
        "recengine": "recengine",
        "recengine._native": "_native",
        "recengine.sql": "sql",
        "recengine.models": "models",
    },
    package_data={"recengine.sql": ["**/*.sql"], "recengine._native": ["*.pxd", "*.h"], "recengine": ["py.typed"]},
    options={"build": {"build_base": BUILD}, "build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        extensions,
        include_path=["_native"],
        build_dir=BUILD,
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKS,
            "wraparound": CHECKS,
            "initializedcheck": CHECKS,
            "cdivision": not CHECKS,
            "embedsignature": True,
        },
        nthreads=int(os.environ.get("RECENGINE_BUILD_JOBS", "0")),
    )
    if extensions
    else [],
)
