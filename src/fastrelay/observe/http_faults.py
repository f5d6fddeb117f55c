"""What aiohttp would log as exceptions of its own.

Lives here: one line, in our form, for a fault of ours; nothing for a client's. Must not live here: answers.
"""

from __future__ import annotations

import logging
import traceback
from typing import Any

from aiohttp.http_exceptions import HttpProcessingError

from fastrelay.observe.logs import facts


class HttpFaults(logging.LoggerAdapter[logging.Logger]):
    """A logger for aiohttp's servers. A request that is no HTTP is its client's fault, and has been answered."""

    def __init__(self, logger: logging.Logger, event: str) -> None:
        super().__init__(logger)
        self._event = event

    def exception(self, msg: object, *args: object, exc_info: Any = True, **kwargs: Any) -> None:
        if isinstance(exc_info, BaseException) and not isinstance(exc_info, HttpProcessingError):
            self.logger.error(self._event, extra=facts(trace="".join(traceback.format_exception(exc_info))))
