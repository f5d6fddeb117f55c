"""What the documents claim was measured: numbers are links to figures of the published run, and say the same."""

import re
from pathlib import Path

import pytest

from bench.report.claims import CLAIM, FORMS, claims_of
from bench.report.evidence import contradictions
from bench.report.files import RUN, read_run
from bench.report.wording import OUTCOME

ROOT = Path(__file__).parents[2]
EVIDENCE = ROOT / "docs" / "evidence"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_YET = "…"
"""What a claim says before there is evidence: a number without a measurement is none."""
MEASURED = re.compile(r"\d[\d.,]*\s*(ns|µs|ms|×|times\b|kpps|packets/|CPU)|\d\s*%")


def test_there_are_claims_to_hold() -> None:
    assert len(CLAIM.findall((ROOT / "README.md").read_text())) >= 5


def test_published_files_belong_together() -> None:
    assert not EVIDENCE.exists() or contradictions(EVIDENCE) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_claim_what_was_measured(document: Path) -> None:
    text = document.read_text()
    assert {match["form"] for match in CLAIM.finditer(text) if match["anchor"] != OUTCOME} <= set(FORMS)
    if EVIDENCE.exists():
        assert [claim for claim in claims_of(text, read_run(EVIDENCE / RUN)) if not claim.is_true] == []
    else:
        assert {match["text"] for match in CLAIM.finditer(text)} <= {NOT_YET}


def unlinked(text: str) -> list[str]:
    """Numbers of a measurement that stand outside links and code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`|!?\[[^\]\n]*\]\([^)]*\)", "", text, flags=re.DOTALL)
    return [match.group() for match in MEASURED.finditer(prose)]


def test_the_readme_has_no_measured_number_without_its_figure() -> None:
    assert unlinked((ROOT / "README.md").read_text()) == []


@pytest.mark.parametrize("text", ["It takes 900 ns.", "3 times less", "`a` 5 ms `b`", "99.9 % in time", "0.3 × of it"])
def test_a_number_without_its_figure_is_seen(text: str) -> None:
    assert len(unlinked(text)) == 1
