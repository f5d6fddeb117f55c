"""The demo page as it is served: types, caching, and a content policy that the page itself keeps."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from fastrelay.http.demo import add_demo

PAGE = files("fastrelay.http.demo") / "page"
LINK = re.compile(r'(?:src|href)="([^"#]+)"')
IMPORT = re.compile(r'^import .* from "([^"]+)";$', re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def get(*requests: str | tuple[str, Mapping[str, str]]) -> list[Answer]:
    """Ask a server of its own for paths, each with or without headers, and return its answers."""

    async def ask() -> list[Answer]:
        app = web.Application()
        add_demo(app)
        answers = []
        async with TestClient(TestServer(app)) as client:
            for request in requests:
                path, headers = (request, {}) if isinstance(request, str) else request
                async with client.get(path, headers=headers) as response:
                    answers.append(Answer(response.status, response.headers, await response.read()))
        return answers

    return asyncio.run(ask())


def links_of(page: str) -> list[str]:
    return LINK.findall(page)


def names_in(folder: Traversable, prefix: str = "") -> set[str]:
    found = set()
    for entry in folder.iterdir():
        found |= names_in(entry, f"{prefix}{entry.name}/") if entry.is_dir() else {prefix + entry.name}
    return found


def test_page_is_html_that_is_asked_for_each_time() -> None:
    (page,) = get("/")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-cache"


def test_unchanged_page_is_not_sent_again() -> None:
    (page,) = get("/")
    (again, other) = get(("/", {"If-None-Match": page.headers["ETag"]}), ("/", {"If-None-Match": '"another"'}))
    assert (again.status, again.body) == (304, b"")
    assert again.headers["ETag"] == page.headers["ETag"]
    assert (other.status, other.body) == (200, page.body)


def test_everything_that_the_page_loads_is_served_for_ever() -> None:
    (page,) = get("/")
    links = links_of(page.text)
    assert len(links) >= 4
    for answer in get(*links):
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"


@pytest.mark.parametrize(
    ("suffix", "content_type"),
    [
        pytest.param(".js", "text/javascript; charset=utf-8", id="module"),
        pytest.param(".css", "text/css; charset=utf-8", id="style"),
        pytest.param(".svg", "image/svg+xml", id="icon"),
        pytest.param(".woff2", "font/woff2", id="font"),
    ],
)
def test_assets_have_the_type_that_browsers_insist_on(suffix: str, content_type: str) -> None:
    (page,) = get("/")
    paths = [link for link in links_of(page.text) if link.endswith(suffix)]
    assert [answer.headers["Content-Type"] for answer in get(*paths)] == [content_type]


def test_asset_of_another_edition_is_ours_and_is_not_kept() -> None:
    (asset,) = get("/demo/0123456789abcdef/main.js")
    assert asset.status == 200
    assert asset.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("/demo/x/nothing.js", id="unknown"),
        pytest.param("/demo/x/index.html", id="the document itself"),
        pytest.param("/demo/x/..%2f__init__.py", id="outside"),
        pytest.param("/demo/x/fonts", id="folder"),
        pytest.param("/demo/", id="nothing"),
    ],
)
def test_nothing_else_is_served(path: str) -> None:
    (answer,) = get(path)
    assert answer.status == 404


def test_every_answer_carries_the_content_policy() -> None:
    (page,) = get("/")
    for answer in [page, *get(*links_of(page.text))]:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_page_keeps_its_own_policy() -> None:
    (page,) = get("/")
    assert re.search(r"\sstyle=|\son\w+=|<style|<script>", page.text) is None
    assert [link for link in links_of(page.text) if not link.startswith("/demo/")] == []


def test_no_file_of_the_page_names_another_host() -> None:
    texts = {name: (PAGE / name).read_text() for name in names_in(PAGE) if name.endswith((".js", ".css", ".html"))}
    strange = {
        name: found
        for name, text in texts.items()
        if (found := re.findall(r"""["'(]https?://(?!www\.w3\.org/2000/svg)""", text))
    }
    assert strange == {}


def test_modules_import_only_what_is_there_and_all_are_used() -> None:
    modules = {name for name in names_in(PAGE) if name.endswith(".js")}
    imported = {target for name in modules for target in IMPORT.findall((PAGE / name).read_text())}
    assert imported == {f"./{name}" for name in modules - {"main.js"}}


def test_modules_stay_short_and_say_what_they_are_for() -> None:
    for name in names_in(PAGE):
        if name.endswith(".js"):
            text = (PAGE / name).read_text()
            assert text.startswith("/**"), name
            assert "Lives here:" in text, name
            assert len(text.splitlines()) <= 250, name
