"""Links and pictures of the documents lead to something: a file of the tree, and a heading or a mark in it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT, ROOT / "docs", ROOT / "docs" / "evidence", ROOT / "deploy", ROOT / "ext")
DOCUMENTS = [path for folder in FOLDERS for path in sorted(folder.glob("*.md"))]
BLOCK = re.compile(r"^ *```.*?^ *```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`[^`\n]*`")
TARGET = re.compile(r"\]\(\s*([^)\s]+)")
"""Of a link and of a picture alike."""
ELSEWHERE = re.compile(r"[a-z]+:")


def anchors(text: str) -> set[str]:
    """The names that links may go to: those of headings, as code hosts make them, and marks of its own."""
    headings = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    made = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a id="([^"]+)">', text))


def broken(text: str, page: Path) -> list[str]:
    found = []
    for target in TARGET.findall(INLINE.sub("", BLOCK.sub("", text))):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not ELSEWHERE.match(target) and not (
            path.exists() and (not anchor or anchor in anchors(path.read_text() if name else text))
        ):
            found.append(target)
    return found


def test_there_are_documents_to_look_at() -> None:
    assert len(DOCUMENTS) > 15


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(document: Path) -> None:
    assert broken(document.read_text(), document) == []


@pytest.mark.parametrize(
    ("text", "lead_nowhere"),
    [
        ("[a](README.md) ![b](docs/images/demo.png) [c](https://example.com/none) `[d](none.md)`", []),
        ("[a](none.md)", ["none.md"]),
        ("![a picture](docs/images/none.svg)", ["docs/images/none.svg"]),
        ("[![b](docs/images/none.svg)](none.md)", ["docs/images/none.svg", "none.md"]),
        (r"![a \] b](none.svg)", ["none.svg"]),
        ('[1 ns](docs/none.md#fig-a "value")', ["docs/none.md#fig-a"]),
        ("# Some heading, of `code`\n[a](#some-heading-of-code) [b](#none)", ["#none"]),
        ('<a id="here"></a> [a](#here) [b](CONTRIBUTING.md#speed) [c](CONTRIBUTING.md#none)', ["CONTRIBUTING.md#none"]),
    ],
)
def test_what_leads_nowhere_is_seen(text: str, lead_nowhere: list[str]) -> None:
    assert broken(text, ROOT / "README.md") == lead_nowhere
