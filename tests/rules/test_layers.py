"""The two ladders: a module imports only what stands on its own rung or below, and the two tiers never meet.

relay:        wire → routing → relay.dataplane → relay.worker → relay.supervisor → cli
transceiver:  wire → routing → transceiver → media → agent → http → transceiver.worker → transceiver.supervisor → cli
"""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

# Lowest first; names of one rung may import each other. The longest matching name places a module.
LADDERS = {
    "relay": [
        ["fastrelay.errors"],
        ["fastrelay.wire"],
        ["fastrelay._ext"],
        ["fastrelay.io"],
        ["fastrelay.routing"],
        ["fastrelay.config"],
        ["fastrelay.relay.dataplane"],
        ["fastrelay.observe"],
        ["fastrelay.service"],
        ["fastrelay.relay", "fastrelay.relay.worker"],
        ["fastrelay.relay.supervisor"],
        ["fastrelay.doctor"],
        ["fastrelay"],
        ["fastrelay.cli"],
    ],
    "transceiver": [
        ["fastrelay.errors"],
        ["fastrelay.wire"],
        ["fastrelay._ext"],
        ["fastrelay.io"],
        ["fastrelay.routing"],
        ["fastrelay.config"],
        ["fastrelay.observe"],
        ["fastrelay.service"],
        ["fastrelay.transceiver"],
        ["fastrelay.media"],
        ["fastrelay.agent"],
        ["fastrelay.http"],
        ["fastrelay.transceiver.worker"],
        ["fastrelay.transceiver.supervisor"],
        ["fastrelay"],
        ["fastrelay.cli"],
    ],
}
APART = [("fastrelay.relay", "fastrelay.transceiver"), ("fastrelay.transceiver", "fastrelay.relay")]


def inside(module: str, name: str) -> bool:
    # The root package is a face, not a folder: only `fastrelay` itself stands on its rung.
    return module == name or (name != "fastrelay" and module.startswith(name + "."))


def rung_of(module: str, ladder: list[list[str]]) -> int | None:
    places = [(len(name), rung) for rung, names in enumerate(ladder) for name in names if inside(module, name)]
    return max(places)[1] if places else None


def module_of(path: Path, source: Path) -> str:
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_module(name: str, source: Path) -> bool:
    path = source.joinpath(*name.split("."))
    return path.is_dir() or any(path.with_suffix(suffix).exists() for suffix in (".py", ".pyi"))


def imports_of(path: Path, source: Path) -> set[str]:
    """Return every fastrelay module that a file imports, wherever in the file and in whatever form."""
    module = module_of(path, source)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parent, base] if base else parent)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if is_module(full, source) else base)
    return {name for name in found if inside(name, "fastrelay") or name.startswith("fastrelay.")}


def problems_in(source: Path) -> list[str]:
    problems = []
    for path in sorted((source / "fastrelay").rglob("*.py")):
        module = module_of(path, source)
        rungs = {name: rung_of(module, ladder) for name, ladder in LADDERS.items()}
        if all(rung is None for rung in rungs.values()):
            problems.append(f"{module} stands on no ladder: give it a rung in LADDERS")
        for imported in sorted(imports_of(path, source)):
            for name, ladder in LADDERS.items():
                own, other = rungs[name], rung_of(imported, ladder)
                if own is not None and other is not None and other > own:
                    problems.append(f"{module} imports {imported}, which stands above it on the {name} ladder")
            problems += [
                f"{module} imports {imported}: the two tiers meet only on the trunk"
                for tier, stranger in APART
                if inside(module, tier) and inside(imported, stranger)
            ]
    return problems


def test_nothing_imports_upwards() -> None:
    assert problems_in(SOURCE) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        pytest.param("wire/stun.py", "from fastrelay.routing import token", "stands above", id="wire to routing"),
        pytest.param("wire/stun.py", "from ..routing.token import Token", "stands above", id="relative import"),
        pytest.param("routing/token.py", "import fastrelay.relay.worker", "stands above", id="routing to worker"),
        pytest.param("routing/token.py", "from fastrelay import cli", "stands above", id="from the root"),
        pytest.param("relay/dataplane/twin.py", "from fastrelay.relay import worker", "stands above", id="in a tier"),
        pytest.param("relay/worker.py", "import fastrelay.transceiver.ice", "two tiers", id="relay to transceiver"),
        pytest.param("transceiver/ice.py", "from ..relay import worker", "two tiers", id="transceiver to relay"),
        pytest.param(
            "relay/worker.py", "def f():\n    import fastrelay.cli.main", "stands above", id="inside a function"
        ),
        pytest.param("elsewhere/thing.py", "import os", "no ladder", id="without a rung"),
    ],
)
def test_upward_import_is_noticed(tmp_path: Path, file: str, line: str, complaint: str) -> None:
    for name in ("routing/token.py", "relay/worker.py", "transceiver/ice.py", "cli/main.py", file):
        path = tmp_path / "fastrelay" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "fastrelay" / file).write_text(line)
    problems = problems_in(tmp_path)
    assert any(complaint in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("cli/main.py", "from fastrelay.relay import worker\nfrom fastrelay.transceiver import ice"),
        ("relay/worker.py", "from fastrelay.routing.token import Token\nfrom .dataplane import twin"),
        ("routing/token.py", "from fastrelay.wire import address\nimport fastrelay.errors"),
    ],
    ids=["cli to both tiers", "worker downwards", "routing downwards"],
)
def test_downward_import_is_welcome(tmp_path: Path, file: str, line: str) -> None:
    path = tmp_path / "fastrelay" / file
    path.parent.mkdir(parents=True)
    path.write_text(line)
    assert problems_in(tmp_path) == []
