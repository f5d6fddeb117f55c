"""The demo page: one document and its assets, served from memory under a strict content policy.

Lives here: which file is answered how — type, caching, security headers. Must not live here: the page itself (page/),
signalling (the page speaks the public API like any other client).
"""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from aiohttp import ETag, web

DOCUMENT: Final = "index.html"
EDITION_MARK: Final = b"/demo/edition/"
"""Stands in the document where the edition's own path goes."""

# Everything comes from here, and nothing runs that is not a file of ours: no inline script or style, no frame.
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
FOR_EVER: Final = "public, max-age=31536000, immutable"
ASK_EACH_TIME: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class Asset:
    """A file of the page, ready to be sent."""

    body: bytes
    content_type: str
    etag: str


def add_demo(app: web.Application) -> None:
    """Serve the page at `/`, and what it loads under `/demo/`."""
    contents = dict(_read_folder(files(__package__) / "page"))
    edition = _digest(b"".join(name.encode() + body for name, body in sorted(contents.items())))
    document = contents.pop(DOCUMENT).replace(EDITION_MARK, f"/demo/{edition}/".encode())
    page = Asset(document, "text/html", _digest(document))
    assets = {name: Asset(body, _type_of(name), _digest(body)) for name, body in contents.items()}

    async def get_page(request: web.Request) -> web.Response:
        return _answer(request, page, ASK_EACH_TIME)

    async def get_asset(request: web.Request) -> web.Response:
        asset = assets.get(request.match_info["name"])
        if asset is None:
            raise web.HTTPNotFound(text="There is no such file on the demo page.\n")
        # While a release replaces another, a page of one may ask a worker of the other: better ours than nothing.
        is_ours = request.match_info["edition"] == edition
        return _answer(request, asset, FOR_EVER if is_ours else ASK_EACH_TIME)

    app.router.add_get("/", get_page)
    app.router.add_get("/demo/{edition}/{name:.+}", get_asset)


def _read_folder(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _read_folder(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry.read_bytes()


def _answer(request: web.Request, asset: Asset, cache_control: str) -> web.Response:
    headers = {**SECURITY_HEADERS, "Cache-Control": cache_control}
    known = request.if_none_match or ()
    if any(tag.value in (asset.etag, "*") for tag in known):
        response = web.Response(status=304, headers=headers)
    else:
        charset = "utf-8" if asset.content_type.startswith("text/") else None
        response = web.Response(body=asset.body, content_type=asset.content_type, charset=charset, headers=headers)
    response.etag = ETag(asset.etag)
    return response


def _type_of(name: str) -> str:
    # Not the machine's own table: a registry entry elsewhere must not turn a module into something a browser refuses.
    known = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2"}
    suffix = name[name.rfind(".") :]
    return known.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
