"""Build the kernels: every `_native/*.pyx` becomes `recengine._native.<name>`.

RECENGINE_MARCH     the -march of the compiler; default `native`, use `x86-64-v3` for a portable wheel.
RECENGINE_CHECKS    1 turns bounds, wraparound and initialisation checks on (slow; the tests run on it too).
RECENGINE_SANITIZE  1 adds ASan and UBSan.
"""

import os
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup

CHECKS = os.environ.get("RECENGINE_CHECKS") == "1"
SANITIZE = os.environ.get("RECENGINE_SANITIZE") == "1"
MARCH = os.environ.get("RECENGINE_MARCH", "native")

# No -ffast-math: NaN means "not scored" and must survive; kernels that want reassociated sums write their lanes out.
CFLAGS = ["-O3", f"-march={MARCH}", "-mprefer-vector-width=512", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-std=gnu11", "-Wno-unused-function"]
LDFLAGS = ["-fopenmp"]
if SANITIZE:
    CFLAGS += ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-g", "-O1"]
    LDFLAGS += ["-fsanitize=address,undefined"]

extensions = [
    Extension(
        f"recengine._native.{path.stem}",
        [str(path)],
        include_dirs=[numpy.get_include(), "_native"],
        extra_compile_args=CFLAGS,
        extra_link_args=LDFLAGS,
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
    )
    for path in sorted(Path("_native").glob("*.pyx"))
]

setup(
    packages=[
        "recengine",
        *(f"recengine.{p.parent.relative_to('recengine').as_posix().replace('/', '.')}" for p in sorted(Path("recengine").glob("*/**/__init__.py"))),
        "recengine._native",
        "recengine.sql",
        "recengine.models",
    ],
    package_dir={"recengine": "recengine", "recengine._native": "_native", "recengine.sql": "sql", "recengine.models": "models"},
    package_data={"recengine.sql": ["**/*.sql"], "recengine._native": ["*.pxd", "*.h"], "recengine": ["py.typed"]},
    ext_modules=cythonize(
        extensions,
        include_path=["_native"],
        build_dir="build",
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKS,
            "wraparound": CHECKS,
            "initializedcheck": CHECKS,
            "cdivision": not CHECKS,
            "embedsignature": True,
        },
        nthreads=int(os.environ.get("RECENGINE_BUILD_JOBS", "0")),
    ) if extensions else [],
)
