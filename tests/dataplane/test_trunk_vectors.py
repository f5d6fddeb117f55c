"""The published trunk vectors, fed to a relay: what its own end of the specification makes of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastrelay.routing.keys import Key, KeyRing
from tests.dataplane.conftest import MakeCore
from tests.dataplane.cores import Setup
from tests.dataplane.packets import T1

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "trunk_vectors.json").read_text(encoding="ascii"))
RING = KeyRing(tuple(Key(entry["id"], bytes.fromhex(entry["secret"]), 0) for entry in VECTORS["keys"]))


@pytest.mark.parametrize("vector", [pytest.param(entry, id=entry["name"]) for entry in VECTORS["accepted"]])
def test_accepted_vector(vector: dict[str, Any], make_core: MakeCore) -> None:
    downward = make_core(Setup(ring=RING)).down([(T1, bytes.fromhex(vector["datagram"]))])
    if vector["receiver"] == "transceiver":
        assert downward.verdicts == ["TRUNK_DIRECTION"]
        return
    assert downward.verdicts == ["TRUNK_HELLO" if "hello" in vector else "TRUNK_BUNDLE"]
    frames = vector.get("frames", [])
    assert len(downward.frame_verdicts) == len(frames)
    payloads = [bytes.fromhex(frame["payload"]) for frame in frames if frame["payload"]]
    assert sorted(sent.payload for sent in downward.sent) == sorted(payloads)


@pytest.mark.parametrize(
    "vector", [pytest.param(entry, id=entry["name"]) for entry in VECTORS["refused"] if entry["receiver"] == "relay"]
)
def test_refused_vector(vector: dict[str, Any], make_core: MakeCore) -> None:
    downward = make_core(Setup(ring=RING)).down([(T1, bytes.fromhex(vector["datagram"]))])
    assert downward.verdicts == [vector["verdict"]]
    assert (downward.frame_verdicts, downward.sent) == ([], [])
