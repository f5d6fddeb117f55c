"""Compiled: flows taken over from siblings. Nothing here is for Python; the neighbours in _ext call it from C."""

from typing import Any

__pyx_capi__: dict[str, Any]
