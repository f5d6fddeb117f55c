"""JSON in and out.

Lives here: reading with the place of the error, writing. Must not live here: what a document has to hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Never

from aiohttp import web

from fastrelay.errors import WireError

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def json_response(
    document: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    body = json.dumps(document, separators=(",", ":")).encode()
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def read_object(text: str | bytes, field: str) -> dict[str, Any]:
    """Read a JSON object. WireError saying where the text goes wrong."""
    try:
        text = text if isinstance(text, str) else text.decode()
        found = json.loads(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            # Written again to find what JSON lets through and UTF-8 does not: half of a surrogate pair.
            json.dumps(found, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise WireError(field, error.pos, f"not JSON: {error.msg}, line {error.lineno} column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise WireError(field, error.start, "not UTF-8") from None
    except UnicodeEncodeError:
        raise WireError(field, 0, "not JSON: holds half of a surrogate pair") from None
    except RecursionError:
        raise WireError(field, 0, "not JSON of ours: nested too deep") from None
    except ValueError as error:
        raise WireError(field, 0, f"not JSON of ours: {error}") from None
    if not isinstance(found, dict):
        raise WireError(field, 0, "must be a JSON object")
    return found


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is no number of JSON")
