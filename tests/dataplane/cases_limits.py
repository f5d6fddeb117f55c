"""Cases of limits: expiry, eviction, budgets, full tables, and datagrams no client sends.

Lives here: cases as data. Must not live here: what flows do when nothing is short (cases_flows).
"""

from __future__ import annotations

from dataclasses import replace

from fastrelay.wire.trunk import Client, Frame
from tests.dataplane.cases import (
    ALICE_RELOADED,
    ALICE_TICKET,
    CONFIRMED,
    CREATED,
    HELLO_ALICE,
    HELLO_BOB,
    Case,
    Down,
    From,
    Left,
    Sweep,
    Up,
    admitted,
    answered,
    bundle,
    dropped,
    refused,
)
from tests.dataplane.packets import (
    ALICE,
    ALICE_MOVED,
    BOB,
    CAROL,
    DAVE,
    DTLS,
    JUNK,
    LIMITS,
    LOCALS,
    SRTP,
    T1,
    T2,
    check,
    close,
    hello_down,
    ticket,
)

LIMITED = [
    Case(
        "an unconfirmed flow lives five seconds from its client's last packet",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Sweep(5000),
            Up([From(ALICE, SRTP)], ["UP_SRTP"], [bundle(T1, Frame(ALICE, SRTP))], at_ms=5000),
            Sweep(10_000),
            admitted(BOB, HELLO_BOB, T1, at_ms=10_000),
            Sweep(10_001),
        ],
        [Left(BOB, T1, False, 1, 0)],
        {"flows_created": 2, "flows_expired_unconfirmed": 1},
    ),
    Case(
        "what goes down keeps no flow alive",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            answered(ALICE, 1, "DOWN_CONFIRMED"),
            answered(ALICE, 2, "DOWN_FORWARDED", at_ms=59_999),
            Sweep(60_000),
            answered(ALICE, 3, "DOWN_FORWARDED", at_ms=60_000),
            Sweep(60_001),
        ],
        [],
        {**CONFIRMED, "flows_expired_idle": 1},
    ),
    Case(
        "at capacity the oldest unconfirmed flow gives way, a confirmed one never",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            answered(ALICE, 1, "DOWN_CONFIRMED"),
            admitted(BOB, HELLO_BOB, T1),
            admitted(CAROL, check(ticket(6)), T1),
            admitted(DAVE, check(ticket(7)), T1),
            refused(BOB, SRTP, "UNKNOWN_CLIENT"),
            answered(CAROL, 2, "DOWN_CONFIRMED"),
            answered(DAVE, 3, "DOWN_CONFIRMED"),
            refused(BOB, HELLO_BOB, "TABLE_FULL"),
            dropped(Frame(BOB, SRTP), "DOWN_TABLE_FULL", 4),
        ],
        [Left(ALICE, T1, True, 1, 1), Left(CAROL, T1, True, 1, 1), Left(DAVE, T1, True, 1, 1)],
        {"flows_created": 4, "flows_confirmed": 3, "flows_evicted": 1},
        replace(LIMITS, flows=3),
    ),
    Case(
        "a frame from the trunk also evicts an unconfirmed flow",
        [admitted(ALICE, HELLO_ALICE, T1), answered(BOB, 1, "DOWN_RECREATED")],
        [Left(BOB, T1, False, 0, 1)],
        {**CREATED, "flows_evicted": 1, "flows_recreated": 1},
        replace(LIMITS, flows=1),
    ),
    Case(
        "a source address has a budget of admissions; an IPv6 /64 is one source",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            admitted(ALICE_MOVED, HELLO_ALICE, T1),
            refused(ALICE_MOVED._replace(port=9), HELLO_ALICE, "SOURCE_BUDGET"),
            admitted(BOB, HELLO_BOB, T1),
            admitted(CAROL, HELLO_BOB, T1),
            admitted(CAROL._replace(ip="2001:db8::4"), HELLO_BOB, T1),
            refused(CAROL._replace(ip="2001:db8::ffff:0:0:1"), HELLO_BOB, "SOURCE_BUDGET"),
            admitted(CAROL._replace(ip="2001:db8:0:1::4"), HELLO_BOB, T1),
            refused(ALICE_MOVED._replace(port=9), HELLO_ALICE, "SOURCE_BUDGET", at_ms=499),
            admitted(ALICE_MOVED._replace(port=9), HELLO_ALICE, T1, at_ms=500),
        ],
        [
            Left(ALICE_MOVED._replace(port=9), T1, False, 1, 0),
            Left(ALICE, T1, False, 1, 0),
            Left(ALICE_MOVED, T1, False, 1, 0),
            Left(BOB, T1, False, 1, 0),
            Left(CAROL, T1, False, 1, 0),
            Left(CAROL._replace(ip="2001:db8::4"), T1, False, 1, 0),
            Left(CAROL._replace(ip="2001:db8:0:1::4"), T1, False, 1, 0),
        ],
        {"flows_created": 7},
        replace(LIMITS, source_admissions_per_s=2, source_admissions_burst=2),
    ),
    Case(
        "the worker has a budget of admissions, spent by forged tokens too",
        [
            refused(ALICE, check(ALICE_TICKET, username=f"{ALICE_TICKET.ufrag[:-2]}AA:abcd"), "TOKEN_FORGED"),
            refused(BOB, HELLO_BOB, "ADMISSION_BUDGET"),
            admitted(BOB, HELLO_BOB, T1, at_ms=1000),
        ],
        [Left(BOB, T1, False, 1, 0)],
        CREATED,
        replace(LIMITS, admissions_per_s=1, admissions_burst=1),
    ),
    Case(
        "known clients cost no budget",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up(
                [From(ALICE, HELLO_ALICE)] * 3,
                ["UP_STUN"] * 3,
                [bundle(T1, *[Frame(ALICE, HELLO_ALICE)] * 3)],
            ),
            refused(ALICE, check(ALICE_RELOADED), "SOURCE_BUDGET"),
        ],
        [Left(ALICE, T1, False, 4, 0)],
        CREATED,
        replace(LIMITS, source_admissions_per_s=1, source_admissions_burst=1),
    ),
    Case(
        "a session has so many flows and no more; moving within it is free",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            admitted(ALICE_MOVED, HELLO_ALICE, T1),
            refused(BOB, HELLO_ALICE, "SESSION_BUDGET"),
            Up(
                [From(ALICE, check(ticket(1, T2)))],
                ["UP_REPOINTED"],
                [bundle(T2, Frame(ALICE, check(ticket(1, T2))))],
            ),
            dropped(close(ALICE_MOVED), "DOWN_CLOSED"),
            admitted(BOB, HELLO_ALICE, T1),
        ],
        [Left(ALICE, T2, False, 2, 0), Left(BOB, T1, False, 1, 0)],
        {"flows_created": 3, "flows_repointed": 1, "flows_closed": 1},
        replace(LIMITS, session_flows=2),
    ),
    Case(
        "a flow does not move into a full session",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            admitted(BOB, HELLO_BOB, T1),
            refused(BOB, HELLO_ALICE, "SESSION_BUDGET"),
        ],
        [Left(ALICE, T1, False, 1, 0), Left(BOB, T1, False, 1, 0)],
        {"flows_created": 2},
        replace(LIMITS, session_flows=1),
    ),
    Case(
        "a transceiver's slot is kept while it has flows or was heard of late",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            refused(BOB, check(ALICE_RELOADED), "PEERS_FULL"),
            Down([(T2, hello_down())], ["TRUNK_PEERS_FULL"]),
            Down([(T1, hello_down(1))], ["TRUNK_HELLO"]),
            dropped(close(ALICE), "DOWN_CLOSED", 2, at_ms=10),
            refused(BOB, check(ALICE_RELOADED), "PEERS_FULL", at_ms=60_009),
            admitted(BOB, check(ALICE_RELOADED), T2, at_ms=60_010),
            Down([(T1, hello_down(3))], ["TRUNK_PEERS_FULL"], at_ms=120_010),
        ],
        [Left(BOB, T2, False, 1, 0)],
        {"flows_created": 2, "flows_closed": 1},
        replace(LIMITS, peers=1),
    ),
]

SHAPES = [
    Case(
        "what no client sends is counted by its shape",
        [
            Up(
                [
                    From(ALICE, b""),
                    From(ALICE, b"\x80" * 2049),
                    From(ALICE, b"\x80" * 65_507),
                    From(ALICE, JUNK),
                    From(ALICE, b"\x80"),
                    From(ALICE, b"\xff\xff"),
                    From(ALICE._replace(port=0), HELLO_ALICE),
                    From(Client(*LOCALS[0]), HELLO_ALICE),
                    From(Client(*LOCALS[1]), SRTP, 1),
                    From(ALICE, SRTP),
                    From(ALICE, DTLS),
                ],
                ["EMPTY", "OVERSIZE", "OVERSIZE", "NOT_WEBRTC", "NOT_WEBRTC", "NOT_WEBRTC"]
                + ["BAD_SOURCE"] * 3
                + ["UNKNOWN_CLIENT"] * 2,
            )
        ],
        [],
        {},
    ),
    Case(
        "shape is judged for known clients too",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up(
                [From(ALICE, b""), From(ALICE, b"\x80" * 2049), From(ALICE, JUNK), From(ALICE, b"\x80\x6f" * 1024)],
                ["EMPTY", "OVERSIZE", "NOT_WEBRTC", "UP_SRTP"],
                [bundle(T1, Frame(ALICE, b"\x80\x6f" * 1024))],
            ),
        ],
        [Left(ALICE, T1, False, 2, 0)],
        CREATED,
    ),
]


LIMIT_CASES = LIMITED + SHAPES
