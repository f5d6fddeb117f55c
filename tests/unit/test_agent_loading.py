"""Finding an agent by name, and what is said when there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fastrelay.agent import Call, LoadedAgent, inline, load_agent
from fastrelay.errors import ConfigError

MODULE = """
from fastrelay.agent import inline

async def agent(call): ...

@inline
async def quick(call): ...

class Desk:
    async def __call__(self, call): ...
    async def method(self, call): ...

desk = Desk()
number = 7
def function(call): ...
"""


@pytest.fixture
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_desk_agents.py").write_text(MODULE)
    (tmp_path / "my_broken_agent.py").write_text("import no_such_module_at_all")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


@pytest.mark.usefixtures("_module")
@pytest.mark.parametrize(
    ("name", "is_inline"),
    [("agent", False), ("quick", True), ("desk", False), ("desk.method", False)],
    ids=["function", "inline function", "object", "method"],
)
def test_agent_is_found_in_the_present_directory(name: str, *, is_inline: bool) -> None:
    loaded = load_agent(f"my_desk_agents:{name}")
    assert (loaded.name, loaded.is_inline) == (f"my_desk_agents:{name}", is_inline)


@pytest.mark.parametrize(
    ("name", "is_inline"), [("echo", True), ("tone", True), ("recorder", False)], ids=["echo", "tone", "recorder"]
)
def test_shipped_agents_have_short_names(name: str, *, is_inline: bool) -> None:
    assert load_agent(name).is_inline == is_inline


@pytest.mark.usefixtures("_module")
@pytest.mark.parametrize(
    ("name", "problem"),
    [
        pytest.param("", "neither module:object nor one of echo, recorder, tone", id="nothing"),
        pytest.param("parrot", "neither module:object nor one of echo, recorder, tone", id="no shipped one"),
        pytest.param("my_desk_agents:", "neither module:object", id="no object"),
        pytest.param(":agent", "neither module:object", id="no module"),
        pytest.param("no_such_agents:agent", "No module named 'no_such_agents'", id="unknown module"),
        pytest.param("my_broken_agent:agent", "No module named 'no_such_module_at_all'", id="broken import"),
        pytest.param("my_desk_agents:robot", "has no 'robot'", id="unknown object"),
        pytest.param("my_desk_agents:number", "cannot be called", id="a number"),
        pytest.param("my_desk_agents:function", "not an `async def` function", id="not async"),
        pytest.param("my_desk_agents:Desk", "not an `async def` function", id="a class"),
    ],
)
def test_what_is_no_agent_is_told_with_its_name(name: str, problem: str) -> None:
    with pytest.raises(ConfigError, match="agent: ") as refused:
        load_agent(name)
    assert problem in str(refused.value)


def test_function_at_hand_is_taken_as_it_is() -> None:
    async def waiter(call: Call) -> None: ...

    assert LoadedAgent.of(waiter).is_inline is False
    assert LoadedAgent.of(inline(waiter), "waiter") == LoadedAgent("waiter", waiter, is_inline=True)
