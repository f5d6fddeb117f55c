"""Single keys from a terminal, without a thread and without leaving the terminal changed.

Lives here: the terminal's mode, and waiting for a key. Must not live here: what a key does (cli.top).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import tty
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Self

_KEYS_BYTES = 64
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Keyboard:
    """Enter it: keys come one by one and are not echoed. Leaving it, by whatever way, puts the terminal back.

    TERM and HUP would end the process where it stands, so they become SystemExit in the meantime, with the exit code
    that a shell gives such an end.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self._descriptor = sys.stdin.fileno() if descriptor is None else descriptor
        self._mode: list[Any] | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._mode = termios.tcgetattr(self._descriptor)
        self._handlers = {number: signal.signal(number, _end) for number in _ENDING_SIGNALS}
        tty.setcbreak(self._descriptor)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._mode is not None:
            with suppress(termios.error):  # a terminal that was closed has no mode to be put back
                # what was typed and not read is dropped: it was meant for us, not for the shell
                termios.tcsetattr(self._descriptor, termios.TCSAFLUSH, self._mode)
            self._mode = None
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def wait(self, seconds: float) -> str:
        """The keys pressed by then, as soon as there is one; an empty text when there was none."""
        readable, _, _ = select.select([self._descriptor], [], [], max(seconds, 0.0))
        if not readable:
            return ""
        pressed = os.read(self._descriptor, _KEYS_BYTES)
        if not pressed:  # the terminal is gone
            raise KeyboardInterrupt
        return pressed.decode(errors="ignore")


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
