"""Build the kernels another way, aside in build/, and run the kernel tests on them: `python -m tests.variant NAME`.

checked    RECENGINE_CHECKS=1: Cython checks every index; a wild read becomes an IndexError.
sanitized  RECENGINE_SANITIZE=1: AddressSanitizer and UBSan watch the C code; the first report ends the run.
portable   RECENGINE_MARCH=x86-64-v3: AVX2 and FMA, as in a wheel for others.
plain      RECENGINE_MARCH=x86-64-v2: neither, so every multiply-add rounds twice.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.house.source import ROOT, kept

SWITCHES = {
    "checked": {"RECENGINE_CHECKS": "1"},
    "sanitized": {"RECENGINE_SANITIZE": "1"},
    "portable": {"RECENGINE_MARCH": "x86-64-v3"},
    "plain": {"RECENGINE_MARCH": "x86-64-v2"},
}


def copy(folder: Path) -> None:
    """Bring the sources of the checkout to `folder`; unchanged files keep their times, so only changed kernels compile."""
    wanted = {where for where, _ in kept()}
    for where in sorted(wanted):
        target = folder / where
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != (ROOT / where).read_bytes():
            shutil.copy2(ROOT / where, target)
    for stale in [p for p in folder.glob("*/**/*.py") if p.relative_to(folder).as_posix() not in wanted]:
        if stale.relative_to(folder).parts[0] not in {".venv", "build"}:
            stale.unlink()


def environment(folder: Path) -> Path:
    """Make a virtual environment that sees this one's packages, hiding its recengine by its own; returns its Python."""
    python = folder / ".venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    paths = [p for p in sys.path if "site-packages" in p]
    site.joinpath("shared.pth").write_text("\n".join(dict.fromkeys(paths)), encoding="utf-8")
    return python


def runtime(name: str) -> str:
    """Locate a library of the compiler, such as libasan.so."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "gcc").split()[0]
    return subprocess.run([compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()


def main(variant: str) -> int:
    folder = ROOT / "build" / f"tree-{variant}"
    copy(folder)
    python = environment(folder)
    switch = os.environ | SWITCHES[variant]
    install = [str(python), "-m", "pip", "install", "-q", "-I", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([*install, "-e", "."], cwd=folder, env=switch, check=True)
    if variant == "sanitized":
        switch |= {
            "LD_PRELOAD": f"{runtime('libasan.so')} {runtime('libubsan.so')}",
            "ASAN_OPTIONS": "detect_leaks=0",  # the interpreter itself never frees everything
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "PYTHONMALLOC": "malloc",  # every array its own allocation, with a red zone around it
        }
    tests = sorted(str(p.relative_to(folder)) for p in (folder / "tests" / "unit").glob("test_*_kernel.py"))
    # No plugin but hypothesis: pytest's own capturing hides what a sanitizer writes as it ends the process.
    return subprocess.run([str(python), "-m", "pytest", "-s", *tests, "tests/laws"], cwd=folder, env=switch, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
