"""The Python names of verdicts and limits are those of the C headers."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.wire import replay, trunk

EXT = Path(__file__).parents[2] / "ext"
LIMITS_H = (EXT / "limits.h").read_text()
MACROS = {name: int(value) for name, value in re.findall(r"^#define FR_(\w+) (\d+)$", LIMITS_H, re.MULTILINE)}


def test_verdicts_are_those_of_the_header_in_its_order() -> None:
    listed = re.findall(r'^ +V\((\w+), "(.*)"\)', (EXT / "verdict.h").read_text(), re.MULTILINE)
    assert [(verdict.name, verdict.text) for verdict in Verdict] == listed
    assert [int(verdict) for verdict in Verdict] == list(range(len(listed)))


def test_limits_are_the_fields_of_the_header() -> None:
    struct = re.findall(r"struct fr_limits \{(.*?)\};", LIMITS_H, re.DOTALL)
    fields = re.findall(r"uint32_t (\w+);", struct[0])
    assert list(asdict(Limits())) == ["flows", "peers", *fields]


@pytest.mark.parametrize("name", list(asdict(Limits())))
def test_default_is_that_of_the_header(name: str) -> None:
    macro = {"flows": "FLOWS_DEFAULT", "peers": "PEERS"}.get(name, name.upper())
    assert asdict(Limits())[name] == MACROS[macro]


@pytest.mark.parametrize(
    ("value", "macro"),
    [
        (trunk.PAYLOAD_MAX, "CLIENT_DATAGRAM_MAX"),
        (trunk.BUNDLE_BYTES, "BUNDLE_BYTES"),
        (trunk.FRAMES_MAX, "BUNDLE_FRAMES"),
        (replay.WINDOW, "REPLAY_WINDOW"),
        (replay.EPOCH_FORGOTTEN_AFTER_MS, "PEER_FORGET_MS"),
    ],
)
def test_shape_is_that_of_the_header(value: int, macro: str) -> None:
    assert value == MACROS[macro]
