"""Real offers of eight WebRTC stacks: tests/data/sdp, by the stack's name.

offers.load("chrome156")
"""

from pathlib import Path

FOLDER = Path(__file__).parent / "data" / "sdp"
NAMES = tuple(sorted(path.name.removesuffix(".offer.sdp") for path in FOLDER.glob("*.offer.sdp")))


def load(name: str) -> str:
    """Return an offer as it was sent, line ends included."""
    return (FOLDER / f"{name}.offer.sdp").read_bytes().decode()


def replaced(text: str, old: str, new: str, count: int = -1) -> str:
    """The offer with something else in it; what is replaced must be there."""
    assert old in text
    return text.replace(old, new, count)


def without(text: str, start: str) -> str:
    """The offer without the lines that begin so; there must be one."""
    lines = text.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(start)]
    assert len(kept) < len(lines)
    return "".join(kept)


def after(text: str, start: str, *added: str) -> str:
    """The offer with lines added after the first that begins so."""
    lines = text.splitlines()
    place = next(index for index, line in enumerate(lines) if line.startswith(start))
    return "".join(f"{line}\r\n" for line in [*lines[: place + 1], *added, *lines[place + 1 :]])
