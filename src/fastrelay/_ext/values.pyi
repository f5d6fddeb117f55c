"""Python values into C ones and back. Nothing here is visible from Python."""

from typing import Any

__pyx_capi__: dict[str, Any]
