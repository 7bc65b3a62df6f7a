"""What is built is what is used: sdist -> portable wheel -> import in a clean environment, and the editable install."""

import importlib
import importlib.resources
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.house.source import ROOT, kept
from tests.variant import environment

KERNELS = sorted(p.stem for p in (ROOT / "_native").glob("*.pyx"))
QUERIES = sorted(p.relative_to(ROOT / "sql").as_posix() for p in (ROOT / "sql").rglob("*.sql"))

PROBE = """
import importlib, importlib.metadata, importlib.resources, json, pathlib, sys
import recengine, recengine._native, recengine.models, recengine.sql
kernels, queries = json.loads(sys.argv[1])
for name in kernels:
    importlib.import_module(f"recengine._native.{name}")
for path in queries:
    assert importlib.resources.files("recengine.sql").joinpath(path).read_text(encoding="utf-8").startswith("--"), path
for path in pathlib.Path(recengine.__file__).parent.rglob("*.py"):
    parts = path.relative_to(pathlib.Path(recengine.__file__).parent.parent).with_suffix("").parts
    if not {"demo", "models", "__main__"} & set(parts):
        importlib.import_module(".".join(parts).removesuffix(".__init__"))
assert pathlib.Path(recengine.__file__).parent.joinpath("py.typed").exists()
assert "torch" not in sys.modules and "implicit" not in sys.modules
print(recengine.__file__, importlib.metadata.version("recengine"))
"""


def run(*command, cwd, **switch):
    ran = subprocess.run([str(c) for c in command], cwd=cwd, env=os.environ | switch, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    return ran.stdout


def sources(folder):
    for where, text in kept():
        target = folder / where
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build sdist, and from it the wheel, for any x86-64-v3 machine; returns both paths."""
    tree, out = sources(tmp_path_factory.mktemp("tree")), tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=tree, RECENGINE_MARCH="x86-64-v3")
    return next(out.glob("*.tar.gz")), next(out.glob("*.whl"))


def probe(python, cwd):
    """Import all that was installed, from a folder where no source stands; returns where it came from."""
    listed = json.dumps([KERNELS, QUERIES])
    return run(python, "-c", PROBE, listed, cwd=cwd)


def test_a_wheel_from_the_sdist_imports_in_a_clean_environment(built, tmp_path):
    sdist, wheel = built
    with tarfile.open(sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    needed = {w for w, _ in kept() if w.startswith(("recengine/", "_native/", "sql/", "models/"))}
    assert needed | {"setup.py", "pyproject.toml", "LICENSE"} <= inside
    assert not [name for name in inside if name.endswith((".so", ".c"))]

    with zipfile.ZipFile(wheel) as archive:
        packed = archive.namelist()
    assert {f"recengine/sql/{q}" for q in QUERIES} <= set(packed)
    assert not [name for name in packed if name.startswith(("tests", "bench", "_native", "sql", "models", "build"))]

    python = environment(tmp_path)
    run(python, "-m", "pip", "install", "-q", "-I", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    where = probe(python, tmp_path)
    assert where.startswith(str(tmp_path)), where


def test_the_editable_install_serves_this_checkout():
    recengine = importlib.import_module("recengine")
    assert Path(recengine.__file__).resolve().is_relative_to(ROOT)
    for name in KERNELS:
        kernel = importlib.import_module(f"recengine._native.{name}")
        assert Path(kernel.__file__).resolve().parent == ROOT / "_native"
    for query in QUERIES:
        assert importlib.resources.files("recengine.sql").joinpath(query).is_file()


def test_kernels_are_newer_than_their_sources():
    """A stale library would let the tests pass on yesterday's kernel."""
    for name in KERNELS:
        kernel = importlib.import_module(f"recengine._native.{name}")
        assert Path(kernel.__file__).stat().st_mtime >= (ROOT / "_native" / f"{name}.pyx").stat().st_mtime, name


@pytest.mark.slow
def test_a_build_with_pinned_requirements_installs_with_all_dependencies(tmp_path):
    """As `pip install .` on a fresh machine: isolated, from the package index."""
    tree = sources(tmp_path / "tree")
    run(sys.executable, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", ".", cwd=tree)
    probe(python, tmp_path)
    run(tmp_path / "venv" / "bin" / "recengine", "--help", cwd=tmp_path)
