"""What a user gets: the sdist holds every source, and its wheel installs and imports in a fresh environment."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXT_SUFFIXES = {".c", ".h", ".pyx", ".pxd", ".md"}

pytestmark = pytest.mark.packaging


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in {"FASTRELAY_BUILD", "PYTHONPATH"}}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def ext_files() -> set[str]:
    paths = [*(ROOT / "ext").rglob("*"), *(ROOT / "src").rglob("*.pxd")]
    return {str(path.relative_to(ROOT)) for path in paths if path.suffix in EXT_SUFFIXES}


def modules() -> list[str]:
    return [f"fastrelay._ext.{source.stem}" for source in sorted((ROOT / "ext").glob("*.pyx"))]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    run(sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", folder, ROOT)
    (archive,) = folder.glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, sdist)
    (archive,) = folder.glob("*.whl")
    return archive


@pytest.fixture(scope="module")
def fresh_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, and sees our dependencies without an index: a .pth reads no other .pth."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel)
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))").strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("platlib") + "\n")
    return python


def test_sdist_holds_every_file_of_ext(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert ext_files() - names == set()
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py", "Makefile", "tests/conftest.py"} - names == set()


def test_sdist_holds_nothing_generated(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    generated = [name for name in names if name.startswith(("build/", ".venv")) or name.endswith((".so", ".pyc", ".o"))]
    assert generated == []
    assert {name for name in names if name.startswith("ext/") and name.endswith(".c")} == {
        name for name in ext_files() if name.endswith(".c")
    }


def test_wheel_holds_modules_stubs_and_no_sources(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for module in modules():
        path = module.replace(".", "/")
        assert {f"{path}{suffix}", f"{path}.pyi"} - set(names) == set()
    assert "fastrelay/py.typed" in names
    assert [name for name in names if name.endswith((".c", ".h", ".pyx", ".pxd")) or name.startswith("tests/")] == []


@pytest.mark.parametrize("module", modules())
def test_installed_wheel_imports_every_compiled_module(fresh_python: Path, module: str) -> None:
    place = run(fresh_python, "-c", f"import {module} as m; print(m.__file__)", cwd=fresh_python.parent)
    assert place.startswith(str(fresh_python.parents[1])), "found the source tree instead of the wheel"


def test_installed_command_answers(fresh_python: Path) -> None:
    assert "fastrelay" in run(fresh_python.with_name("fastrelay"), "--help", cwd=fresh_python.parent)


def test_unknown_flavour_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        cwd=ROOT,
        env=os.environ | {"FASTRELAY_BUILD": "fast"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "FASTRELAY_BUILD=fast: choose one of release, debug, asan, coverage" in done.stderr
