"""The image's recipe: a linter finds nothing, what it copies is there, and what runs has what it needs and no more."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

from dockerfile_parse import DockerfileParser

import fastrelay._ext.relay_core as compiled

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
IGNORED = DOCKERFILE.with_name("Dockerfile.dockerignore")
PACKAGES = {"libcrypto.so.3": "libssl3"}
"""Which Debian package brings a library that every image of Python does not have."""
BASE_LIBRARIES = {"linux-vdso.so.1", "libc.so.6", "libm.so.6", "libpthread.so.0"}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, command)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def steps() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage, as (name, value)."""
    stages: list[list[tuple[str, str]]] = []
    for each in DockerfileParser(path=str(DOCKERFILE)).structure:
        if each["instruction"] == "FROM":
            stages.append([])
        if stages and each["instruction"] != "COMMENT":
            stages[-1].append((each["instruction"], each["value"]))
    return stages


def values(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [value for instruction, value in stage if instruction == name]


def copied() -> list[str]:
    build, _ = steps()
    return [source for value in values(build, "COPY") for source in value.split()[:-1]]


def test_linter_finds_nothing() -> None:
    done = run(Path(sys.executable).with_name("hadolint"), "--failure-threshold=style", DOCKERFILE)
    assert (done.returncode, done.stdout) == (0, "")


def test_linter_would_find_something(tmp_path: Path) -> None:
    careless = tmp_path / "Dockerfile"
    careless.write_text(DOCKERFILE.read_text().replace("3.11-slim-bookworm", "latest"))
    assert "DL3007" in run(Path(sys.executable).with_name("hadolint"), careless).stdout


def test_both_stages_have_the_same_base() -> None:
    bases = [value.split()[0] for stage in steps() for value in values(stage, "FROM")]
    assert len(bases) == 2
    assert len(set(bases)) == 1


def test_everything_that_is_copied_is_there() -> None:
    assert [source for source in copied() if not (ROOT / source).exists()] == []


def test_everything_that_the_build_reads_is_copied() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = {"setup.py", "pyproject.toml", "ext", "src", project["readme"], *project["license-files"]}
    assert needed - set(copied()) == set()


def test_context_holds_what_is_copied_and_nothing_else() -> None:
    lines = [line for line in IGNORED.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())


def test_runtime_has_the_libraries_of_the_compiled_modules() -> None:
    _, runtime = steps()
    installed = " ".join(values(runtime, "RUN"))
    linked = set()
    for module in Path(compiled.__file__).parent.glob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"):
        linked |= set(re.findall(r"^\s*(lib\S+) =>", run("ldd", module).stdout, re.MULTILINE))
    sanitizers = {name for name in linked if name.startswith(("libasan", "libubsan"))}
    needed = linked - BASE_LIBRARIES - sanitizers
    assert "libcrypto.so.3" in needed
    assert [name for name in needed if not re.search(rf"\b{PACKAGES[name]}\b", installed)] == []


def test_runtime_has_no_compiler_and_no_root() -> None:
    _, runtime = steps()
    assert re.findall(r"\b(gcc|make|\w+-dev|pip)\b", " ".join(values(runtime, "RUN"))) == []
    assert values(runtime, "USER") == ["10001:10001"]


def test_image_is_started_stopped_and_asked_without_a_shell() -> None:
    _, runtime = steps()
    assert values(runtime, "STOPSIGNAL") == ["SIGTERM"]
    for name in ("ENTRYPOINT", "CMD"):
        (value,) = values(runtime, name)
        assert value.startswith("[")
    (health,) = values(runtime, "HEALTHCHECK")
    assert re.search(r'CMD \["fastrelay", "status"', health)
