"""The association stands on names inside aiortc: another release of it must not take our bounds away unnoticed."""

from __future__ import annotations

import inspect

import pytest
from aiortc.rtcsctptransport import RTCSctpTransport

from fastrelay.transceiver.association import Association
from fastrelay.transceiver.sctp_receiver import Receiver
from tests.unit.channel_ends import Pair, run

LAYERS = (Association, Receiver)
OVERRIDDEN = [
    "_init",
    "_mark_received",
    "_get_inbound_stream",
    "_receive_sack_chunk",
    "_receive_forward_tsn_chunk",
    "_send_sack",
    "_update_rto",
    "_send",
    "_set_state",
    "_data_channel_open",
    "_data_channel_receive",
]
CALLERS = "\n".join(inspect.getsource(member) for _, member in inspect.getmembers(RTCSctpTransport, inspect.isfunction))


@pytest.mark.parametrize("name", OVERRIDDEN)
def test_library_still_calls_what_is_overridden(name: str) -> None:
    assert any(name in vars(layer) for layer in LAYERS)
    theirs, ours = inspect.signature(getattr(RTCSctpTransport, name)), inspect.signature(getattr(Association, name))
    assert len(theirs.parameters) == len(ours.parameters)
    assert inspect.iscoroutinefunction(getattr(RTCSctpTransport, name)) == inspect.iscoroutinefunction(
        getattr(Association, name)
    )
    assert f"self.{name}(" in CALLERS or name == "_data_channel_open", "which a channel calls"


def test_nothing_else_of_the_library_is_replaced_by_accident() -> None:
    own = {name for layer in LAYERS for name in vars(layer) if not name.startswith("__")}
    assert {name for name in own if hasattr(RTCSctpTransport, name)} == set(OVERRIDDEN)


def test_who_is_sent_through_may_bring_a_packet_meanwhile() -> None:
    """As a call does that finds more in its session when it sends."""

    async def scenario() -> None:
        pair = Pair()
        client, server = pair.client, pair.server
        client._send = server.handle
        server._send = client.handle
        assert client.open("events")
        await pair.until(lambda: pair.client_heard.opened == pair.server_heard.opened == ["events"])
        for number in range(100):
            assert client.send("events", str(number) * 300)
            assert server.send("events", str(number))
        assert pair.server_heard.contents == [str(number) * 300 for number in range(100)]
        assert pair.client_heard.contents == [str(number) for number in range(100)]
        assert client.statistics.faults == server.statistics.faults == 0
        await pair.close()

    run(scenario())


@pytest.mark.parametrize(
    "fault", [IndexError, AssertionError, TypeError, UnboundLocalError], ids=lambda kind: kind.__name__
)
def test_fault_of_the_library_ends_the_association_alone(
    monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    async def stumble(_: RTCSctpTransport, chunk: object) -> None:
        raise fault("made by the test")

    async def scenario() -> None:
        pair = Pair()
        await pair.open()
        monkeypatch.setattr(RTCSctpTransport, "_receive_sack_chunk", stumble)
        assert pair.server.send("events", "is acknowledged")
        await pair.settle()
        assert pair.server.statistics.faults == 1
        assert pair.server_heard.is_closed
        assert pair.server_heard.ended == ["events"]
        assert pair.client_heard.is_closed, "it was told by ABORT"
        await pair.close()

    run(scenario())
