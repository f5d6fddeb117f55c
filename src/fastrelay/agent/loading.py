"""Finding an agent by its name, and what it says about itself.

Lives here: `module:object`, the short names of the agents that fastrelay ships, and @inline.
Must not live here: running it (hosting).
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from fastrelay.errors import ConfigError

if TYPE_CHECKING:
    from fastrelay.agent.call import Call

Agent: TypeAlias = "Callable[[Call], Awaitable[None]]"
A = TypeVar("A", bound=Callable[..., object])

SHIPPED: Final = {
    "echo": "fastrelay.agent.echo:echo",
    "recorder": "fastrelay.agent.recorder:recorder",
    "tone": "fastrelay.agent.tone:tone",
}
_MARK: Final = "runs_on_media_loop"


def inline(agent: A) -> A:
    """Let an agent run on the media loop, beside the packets of all calls, and not on a thread of its own.

    That costs less, and nothing protects the other calls: an inline agent never blocks, and computes next to nothing.
    """
    setattr(agent, _MARK, True)
    return agent


@dataclass(frozen=True, slots=True)
class LoadedAgent:
    """An agent, ready to be seated on calls."""

    name: str
    function: Agent
    is_inline: bool

    @classmethod
    def of(cls, function: Agent, name: str = "") -> LoadedAgent:
        """Take a function that is at hand. ConfigError when it cannot be an agent."""
        shown = name or getattr(function, "__qualname__", type(function).__name__)
        if not _is_asynchronous(function):
            raise ConfigError("agent", f"{shown} is not an `async def` function (or an object whose __call__ is one)")
        return cls(shown, function, getattr(function, _MARK, False))


def load_agent(name: str) -> LoadedAgent:
    """Import `module:object`, or one of the shipped `echo`, `recorder` and `tone`. ConfigError says what is wrong.

    Modules are also looked for in the present directory. What a module raises while it is imported is its own bug, and
    passes through with its traceback.
    """
    module_name, colon, path = SHIPPED.get(name, name).partition(":")
    if not (module_name and colon and path):
        raise ConfigError("agent", f"{name!r} is neither module:object nor one of {', '.join(SHIPPED)}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: object = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError("agent", f"{module_name}: {error}") from error
    for part in path.split("."):
        if not hasattr(found, part):
            raise ConfigError("agent", f"{module_name} has no {path!r}")
        found = getattr(found, part)
    if not callable(found):
        raise ConfigError("agent", f"{name} cannot be called")
    return LoadedAgent.of(found, name)


def _is_asynchronous(function: Callable[..., object]) -> bool:
    # A class's instances are agents, the class is not: calling it makes an instance.
    if inspect.isclass(function):
        return False
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 -- it is looked at, not tested for
    )
