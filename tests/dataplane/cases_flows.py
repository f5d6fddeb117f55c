"""Cases of flows: how they are made, confirmed, moved, made again and closed, and what frames do to them.

Lives here: cases as data; each ends with the flows that remain and the events that were counted.
Must not live here: limits (cases_limits), refused tokens, checks and trunk datagrams (test_refusals).
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
from tests.dataplane.cores import Sent
from tests.dataplane.packets import (
    ALICE,
    ALICE_MOVED,
    BOB,
    CAROL,
    DAVE,
    DTLS,
    LIMITS,
    RESPONSE,
    SRTCP,
    SRTP,
    T1,
    T2,
    T3,
    T6,
    check,
    close,
    down,
    ticket,
)

LIFE = [
    Case(
        "a call: check, answer, DTLS, media, close",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            answered(ALICE, 1, "DOWN_CONFIRMED"),
            Up(
                [From(ALICE, packet) for packet in (DTLS, SRTP, SRTCP, HELLO_ALICE, RESPONSE)],
                ["UP_DTLS", "UP_SRTP", "UP_SRTCP", "UP_STUN", "UP_STUN"],
                [bundle(T1, *[Frame(ALICE, packet) for packet in (DTLS, SRTP, SRTCP, HELLO_ALICE, RESPONSE)])],
            ),
            Down(
                [(T1, down(Frame(ALICE, SRTP), Frame(ALICE, SRTCP), sequence=2))],
                ["TRUNK_BUNDLE"],
                ["DOWN_FORWARDED"] * 2,
                [Sent(ALICE, 0, SRTP), Sent(ALICE, 0, SRTCP)],
            ),
            dropped(close(ALICE), "DOWN_CLOSED", 3),
            refused(ALICE, SRTP, "UNKNOWN_CLIENT"),
        ],
        [],
        {**CONFIRMED, "flows_closed": 1},
    ),
    Case(
        "DTLS right behind the first check in one batch",
        [
            Up(
                [From(ALICE, DTLS), From(ALICE, HELLO_ALICE), From(ALICE, DTLS)],
                ["UNKNOWN_CLIENT", "UP_ADMITTED", "UP_DTLS"],
                [bundle(T1, Frame(ALICE, HELLO_ALICE), Frame(ALICE, DTLS))],
            )
        ],
        [Left(ALICE, T1, False, 2, 0)],
        CREATED,
    ),
    Case(
        "known clients leave before strangers of the same batch",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up(
                [From(BOB, HELLO_BOB), From(ALICE, SRTP)],
                ["UP_ADMITTED", "UP_SRTP"],
                [bundle(T1, Frame(ALICE, SRTP)), bundle(T1, Frame(BOB, HELLO_BOB))],
            ),
        ],
        [Left(ALICE, T1, False, 2, 0), Left(BOB, T1, False, 1, 0)],
        {"flows_created": 2},
    ),
    Case(
        "IPv6 and link-local clients, an IPv6 transceiver",
        [
            admitted(CAROL, check(ticket(4, T6)), T6, via=1),
            admitted(DAVE, HELLO_ALICE, T1, via=1),
            Down(
                [(T6, down(Frame(CAROL, DTLS), via=1)), (T1, down(Frame(DAVE, DTLS), via=1))],
                ["TRUNK_BUNDLE"] * 2,
                ["DOWN_CONFIRMED"] * 2,
                [Sent(CAROL, 1, DTLS), Sent(DAVE, 1, DTLS)],
            ),
        ],
        [Left(CAROL, T6, True, 1, 1, 1), Left(DAVE, T1, True, 1, 1, 1)],
        {"flows_created": 2, "flows_confirmed": 2},
    ),
    Case(
        "a v4-mapped source is the same client",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up([From(Client("::ffff:192.0.2.1", ALICE.port), SRTP)], ["UP_SRTP"], [bundle(T1, Frame(ALICE, SRTP))]),
        ],
        [Left(ALICE, T1, False, 2, 0)],
        CREATED,
    ),
    Case(
        "a client that changes its address keeps both until the old one is idle",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            answered(ALICE, 1, "DOWN_CONFIRMED"),
            refused(ALICE_MOVED, SRTP, "UNKNOWN_CLIENT", at_ms=1000),
            admitted(ALICE_MOVED, check(ALICE_TICKET, 1), T1, at_ms=1000),
            answered(ALICE_MOVED, 2, "DOWN_CONFIRMED", at_ms=1000),
            Sweep(60_001),
        ],
        [Left(ALICE_MOVED, T1, True, 1, 1)],
        {"flows_created": 2, "flows_confirmed": 2, "flows_expired_idle": 1},
    ),
]

MOVES = [
    Case(
        "a reloaded page brings another token: the confirmed flow moves",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            answered(ALICE, 1, "DOWN_CONFIRMED"),
            Up(
                [From(ALICE, check(ALICE_RELOADED)), From(ALICE, SRTP)],
                ["UP_REPOINTED", "UP_SRTP"],
                [bundle(T1, Frame(ALICE, SRTP)), bundle(T2, Frame(ALICE, check(ALICE_RELOADED)))],
            ),
            dropped(Frame(ALICE, SRTP), "DOWN_NOT_YOURS", 2),
            answered(ALICE, 1, "DOWN_FORWARDED", by=T2),
        ],
        [Left(ALICE, T2, True, 3, 2)],
        {**CONFIRMED, "flows_repointed": 1},
    ),
    Case(
        "an unconfirmed flow that moves stays unconfirmed",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up(
                [From(ALICE, check(ALICE_RELOADED))],
                ["UP_REPOINTED"],
                [bundle(T2, Frame(ALICE, check(ALICE_RELOADED)))],
            ),
            Sweep(5001),
        ],
        [],
        {**CREATED, "flows_repointed": 1, "flows_expired_unconfirmed": 1},
    ),
    Case(
        "a forged check moves nothing",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            answered(ALICE, 1, "DOWN_CONFIRMED"),
            refused(ALICE, check(ALICE_RELOADED, password="guess" * 5), "STUN_BAD_INTEGRITY"),
            refused(ALICE, check(ticket(2, T2, cluster=9)), "TOKEN_FOREIGN_CLUSTER"),
        ],
        [Left(ALICE, T1, True, 1, 1)],
        CONFIRMED,
    ),
    Case(
        "STUN that is no check never moves a flow and is forwarded unread",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up([From(ALICE, b"\x00\x01junk")], ["UP_STUN"], [bundle(T1, Frame(ALICE, b"\x00\x01junk"))]),
            Up([From(ALICE, RESPONSE)], ["UP_STUN"], [bundle(T1, Frame(ALICE, RESPONSE))]),
        ],
        [Left(ALICE, T1, False, 3, 0)],
        CREATED,
    ),
    Case(
        "the known token with a wrong password is the transceiver's to refuse",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up(
                [From(ALICE, check(ALICE_TICKET, password="guess" * 5))],
                ["UP_STUN"],
                [bundle(T1, Frame(ALICE, check(ALICE_TICKET, password="guess" * 5)))],
            ),
        ],
        [Left(ALICE, T1, False, 2, 0)],
        CREATED,
    ),
]

RECREATION = [
    Case(
        "a lost flow comes back with the transceiver's next frame",
        [
            Down(
                [(T1, down(Frame(ALICE, SRTP), Frame(ALICE, SRTP), via=2))],
                ["TRUNK_BUNDLE"],
                ["DOWN_RECREATED", "DOWN_FORWARDED"],
                [Sent(ALICE, 2, SRTP)] * 2,
            ),
            Up([From(ALICE, SRTP, 2)], ["UP_SRTP"], [bundle(T1, Frame(ALICE, SRTP), via=2)]),
        ],
        [Left(ALICE, T1, False, 1, 2, 2)],
        {"flows_recreated": 1},
    ),
    Case(
        "its next check brings back the token and its session",
        [
            answered(ALICE, 1, "DOWN_RECREATED"),
            Up([From(ALICE, HELLO_ALICE)], ["UP_REPOINTED"], [bundle(T1, Frame(ALICE, HELLO_ALICE))]),
            Up([From(ALICE, HELLO_ALICE)], ["UP_STUN"], [bundle(T1, Frame(ALICE, HELLO_ALICE))]),
            answered(ALICE, 2, "DOWN_CONFIRMED"),
        ],
        [Left(ALICE, T1, True, 2, 2)],
        {"flows_recreated": 1, "flows_repointed": 1, "flows_confirmed": 1},
    ),
    Case(
        "until then it gives way, and comes back: an answer to a forged source takes up no room for good",
        [
            answered(ALICE, 1, "DOWN_RECREATED"),
            answered(BOB, 2, "DOWN_RECREATED"),
            answered(ALICE, 3, "DOWN_RECREATED"),
            answered(ALICE, 4, "DOWN_FORWARDED"),
        ],
        [Left(ALICE, T1, False, 0, 2)],
        {"flows_recreated": 3, "flows_evicted": 2},
        replace(LIMITS, flows=1),
    ),
    Case(
        "a via of the wrong family or unknown becomes the family's first",
        [
            Down(
                [
                    (T1, down(Frame(ALICE, SRTP), Frame(CAROL, SRTP), via=2)),
                    (T1, down(Frame(BOB, SRTP), sequence=2, via=9)),
                ],
                ["TRUNK_BUNDLE"] * 2,
                ["DOWN_RECREATED"] * 3,
                [Sent(ALICE, 2, SRTP), Sent(CAROL, 1, SRTP), Sent(BOB, 0, SRTP)],
            )
        ],
        [Left(ALICE, T1, False, 0, 1, 2), Left(BOB, T1, False, 0, 1), Left(CAROL, T1, False, 0, 1, 1)],
        {"flows_recreated": 3},
    ),
    Case(
        "re-creations have a budget that refills",
        [
            answered(ALICE, 1, "DOWN_RECREATED"),
            dropped(Frame(BOB, SRTP), "DOWN_RECREATE_BUDGET", 2, at_ms=99),
            answered(BOB, 3, "DOWN_RECREATED", at_ms=100),
        ],
        [Left(ALICE, T1, False, 0, 1), Left(BOB, T1, False, 0, 1)],
        {"flows_recreated": 2},
        replace(LIMITS, recreations_per_s=10, recreations_burst=1),
    ),
    Case(
        "addresses no client can have are not sent to",
        [
            dropped(Frame(Client(ip, port), SRTP), "DOWN_BAD_ADDRESS", sequence)
            for sequence, (ip, port) in enumerate(
                [
                    ("192.0.2.1", 0),
                    ("0.0.0.0", 9),
                    ("224.0.0.1", 9),
                    ("239.255.255.255", 9),
                    ("255.255.255.255", 9),
                    ("::", 9),
                    ("ff02::1", 9),
                    ("2001:db8::1", 0),
                ],
                start=1,
            )
        ],
        [],
        {},
    ),
]

FRAMES = [
    Case(
        "an unconfirmed client is sent no more than it has sent",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            dropped(Frame(ALICE, bytes(len(HELLO_ALICE) + 1)), "DOWN_AMPLIFIED"),
            Down(
                [(T1, down(Frame(ALICE, bytes(len(HELLO_ALICE))), sequence=2))],
                ["TRUNK_BUNDLE"],
                ["DOWN_CONFIRMED"],
                [Sent(ALICE, 0, bytes(len(HELLO_ALICE)))],
            ),
        ],
        [Left(ALICE, T1, True, 1, 1)],
        CONFIRMED,
    ),
    Case(
        "another transceiver can neither send to a flow nor close it",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            dropped(Frame(ALICE, SRTP), "DOWN_NOT_YOURS", by=T2),
            dropped(close(ALICE), "DOWN_CLOSE_UNKNOWN", 2, by=T2),
            dropped(close(ALICE), "DOWN_CLOSE_UNKNOWN", by=T3),
            dropped(close(BOB), "DOWN_CLOSE_UNKNOWN", by=T1),
        ],
        [Left(ALICE, T1, False, 1, 0)],
        CREATED,
    ),
    Case(
        "empty frames are counted and dropped",
        [admitted(ALICE, HELLO_ALICE, T1), dropped(Frame(ALICE, b""), "DOWN_EMPTY")],
        [Left(ALICE, T1, False, 1, 0)],
        CREATED,
    ),
    Case(
        "a reply leaves from the address the client last reached",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up([From(ALICE, SRTP, 2)], ["UP_SRTP"], [bundle(T1, Frame(ALICE, SRTP), via=2)]),
            answered(ALICE, 1, "DOWN_CONFIRMED", via=2),
        ],
        [Left(ALICE, T1, True, 2, 1, 2)],
        CONFIRMED,
    ),
    Case(
        "one bundle for each transceiver and local address",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            admitted(BOB, check(ticket(5, T2)), T2),
            Up(
                [From(ALICE, SRTP), From(BOB, SRTP), From(ALICE, DTLS, 2), From(BOB, SRTCP), From(ALICE, SRTCP)],
                ["UP_SRTP", "UP_SRTP", "UP_DTLS", "UP_SRTCP", "UP_SRTCP"],
                [
                    bundle(T1, Frame(ALICE, SRTP), Frame(ALICE, SRTCP)),
                    bundle(T2, Frame(BOB, SRTP), Frame(BOB, SRTCP)),
                    bundle(T1, Frame(ALICE, DTLS), via=2),
                ],
            ),
        ],
        [Left(ALICE, T1, False, 4, 0), Left(BOB, T2, False, 3, 0)],
        {"flows_created": 2},
    ),
    Case(
        "a payload too large for a bundle travels alone",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up(
                [From(ALICE, SRTP), From(ALICE, b"\x80\x6f".ljust(2048, b"m")), From(ALICE, SRTCP)],
                ["UP_SRTP", "UP_SRTP", "UP_SRTCP"],
                [
                    bundle(T1, Frame(ALICE, SRTP)),
                    bundle(T1, Frame(ALICE, b"\x80\x6f".ljust(2048, b"m"))),
                    bundle(T1, Frame(ALICE, SRTCP)),
                ],
            ),
        ],
        [Left(ALICE, T1, False, 4, 0)],
        CREATED,
    ),
    Case(
        "a bundle holds 64 frames",
        [
            admitted(ALICE, HELLO_ALICE, T1),
            Up(
                [From(ALICE, b"\x16")] * 65,
                ["UP_DTLS"] * 65,
                [bundle(T1, *[Frame(ALICE, b"\x16")] * 64), bundle(T1, Frame(ALICE, b"\x16"))],
            ),
        ],
        [Left(ALICE, T1, False, 66, 0)],
        CREATED,
    ),
]


FLOW_CASES = LIFE + MOVES + RECREATION + FRAMES
