"""Compiles the C programs of the harness into build/bench/ when their sources are newer."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.load.failure import BenchFailure

ROOT = Path(__file__).resolve().parents[2]
LOAD = ROOT / "bench" / "load"
OUT = ROOT / "build" / "bench"
EXT = ROOT / "ext"
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-iquote", str(EXT))

LIBRARIES = ("-lcrypto",)

SHARED = (LOAD / "program.c", LOAD / "traffic.c")
FLOORS = LOAD / "floors"
BUNDLE = (EXT / "trunk" / "bundle.c", EXT / "crypto" / "cmac.c")
CALLERS = LOAD / "callers"
FLOW = tuple(EXT / "flow" / name for name in ("table.c", "quality.c", "journal.c"))
TABLE = (*FLOW, EXT / "trunk" / "peer.c", *BUNDLE)
SOURCES: dict[str, tuple[Path, ...]] = {
    "floor_receive": (FLOORS / "floor_receive.c",),
    "floor_forward": (FLOORS / "floor_forward.c", FLOORS / "lookup.c", *TABLE),
    "floor_send": (FLOORS / "floor_send.c",),
    "generator_up": (LOAD / "generator_up.c", LOAD / "generator.c"),
    "generator_down": (LOAD / "generator_down.c", LOAD / "generator.c", *BUNDLE),
    "callers": (
        *(CALLERS / f"{name}.c" for name in ("callers", "clients", "crowd", "play", "servers", "wire")),
        *BUNDLE,
    ),
    "generator_back": (LOAD / "generator_back.c", LOAD / "generator.c"),
    "populate": (LOAD / "populate.c", *TABLE),
    "sink": (LOAD / "sink.c",),
}


def program(name: str) -> Path:
    """The path of the compiled program, built now if it is missing or old."""
    target = OUT / name
    if not target.exists() or target.stat().st_mtime < newest_source():
        compile_to(target, [*SOURCES[name], *SHARED])
    return target


def library(source: Path) -> Path:
    """One C file as a shared library that ctypes can load."""
    target = OUT / f"{source.stem}.so"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        compile_to(target, [source], "-shared", "-fPIC")
    return target


def compile_to(target: Path, sources: Sequence[Path], *more: str) -> None:
    """Runs the compiler; what it says is the failure."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [os.environ.get("CC", "cc"), *FLAGS, *more, "-o", str(target), *map(str, sources), *LIBRARIES]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0:
        raise BenchFailure(f"cannot build {target.name}:\n{' '.join(command)}\n{built.stderr}")


def newest_source() -> float:
    """Seconds of the newest file any program may depend on: coarse, and never stale."""
    files = [*LOAD.rglob("*.[ch]"), *EXT.rglob("*.[ch]")]
    return max(file.stat().st_mtime for file in files)
