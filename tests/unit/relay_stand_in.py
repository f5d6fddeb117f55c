"""An admin HTTP that says what a test has written, for the commands that ask one.

Lives here: serving fixed answers over a unix socket or TCP, one thread that ends with the block. Must not live here:
what a real relay answers (tests/live), expectations.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answers = dict[str, Any]
"""Path -> a document, a text, (code, text), or a function of the query's parameters that returns one of these."""

NOW_S = 1_800_000_000.0
SESSION = "00f1e2d3c4b5a697"


def relay_status(**changes: Any) -> dict[str, Any]:
    """The `relay` member of /status: a well relay with two workers."""
    workers = [
        {
            "index": index,
            "pid": 4_000_001 + index,
            "cpu": index,
            "state": "serving",
            "started_at_s": NOW_S - 100,
            "restarts": index,
            "hangs": 0,
            "last_end": "killed by signal 9" if index else None,
            "trunk": f"10.0.0.5:{4000 + index}",
            "release": "0.2.0",
        }
        for index in range(2)
    ]
    return {
        "release": "0.2.0",
        "pid": 4_000_000,
        "started_at_s": NOW_S - 7384,
        "state": "serving",
        "listen": ["203.0.113.5:3478"],
        "workers": workers,
        "keys": [
            {"id": 3, "mint_from_s": int(NOW_S) - 600, "open_until_s": None, "is_minting": True},
            {"id": 2, "mint_from_s": 0, "open_until_s": int(NOW_S) + 3600, "is_minting": False},
        ],
        "reloads": 2,
        "reloads_refused": 1,
        "upgrades": 1,
        "upgrades_refused": 0,
        "steering": "hash",
        "a_word_of_tomorrow": True,
        **changes,
    }


def flow(at: int = 0, **changes: Any) -> dict[str, Any]:
    """A row of /flows."""
    return {
        "worker": at % 2,
        "slot": at,
        "client": f"192.0.{at}.0/24",
        "session": SESSION,
        "transceiver": "10.0.0.7:4000",
        "state": "confirmed",
        "age_of_last_packet_s": 0.02,
        "packets_up": 500,
        "packets_down": 480,
        "bytes_up": 60_000,
        "loss_percent": float(at),
        "jitter_ms": 10.0 - at,
        "reordered": 0,
        "setup_ms": 312,
        "is_one_way": at == 1,
        **changes,
    }


def status_document(**changes: Any) -> dict[str, Any]:
    """A whole /status; `relay` in `changes` is merged, everything else replaced."""
    workers = [
        {
            "index": index,
            "pid": 4_000_001 + index,
            "state": "serving",
            "cpu": index,
            "flows": 107,
            "unconfirmed": 1,
            "capacity": 131_072,
            "busy_ratio": 0.42,
            "up_pps": 5350.0,
            "down_pps": 5300.5,
            "drops_pps": 2.0,
            "kernel_drops": 0,
            "offload": "on",
            "batch_fill": 3.25,
            "bundle_fill": 2.5,
            "hop_up_p50_us": 14.2,
            "hop_up_p99_us": 211.0,
            "hop_down_p50_us": None,
            "hop_down_p99_us": None,
            "alive_age_s": 0.01,
        }
        for index in range(2)
    ]
    transceiver = {
        "address": "10.0.0.7:4000",
        "flows": 214,
        "rtt_ms": 0.41,
        "lost": 2,
        "received": 1998,
        "unreachable": 0,
        "silent_s": 0.3,
        "workers": 2,
    }
    totals = {
        "flows": 214,
        "calls": 210,
        "up_pps": 10_700.0,
        "down_pps": 10_601.0,
        "drops_pps": 4.0,
        "one_way": 1,
        "last_packet_age_s": 0.0,
    }
    return {
        "relay": relay_status(**changes.pop("relay", {})),
        "now_s": NOW_S,
        "workers": workers,
        "transceivers": [transceiver],
        "totals": {**totals, **changes.pop("totals", {})},
        "drops": [{"verdict": "TOKEN_EXPIRED", "per_s": 1.5, "total": 40}],
        "worst_calls": [flow(at) for at in range(3)],
        **changes,
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers: Answers

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        found = self.answers.get(parts.path, (404, '{"problem": "there is nothing at this path"}'))
        if callable(found):
            found = found({name: values[0] for name, values in parse_qs(parts.query).items()})
        code, text = found if isinstance(found, tuple) else (200, found)
        body = (text if isinstance(text, str) else json.dumps(text)).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "test"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Standard error is the commands'."""


@contextmanager
def served(answers: Answers, run_dir: Path | None = None) -> Iterator[str]:
    """Serve them; gives what --at takes. The answers may be changed meanwhile."""
    handler = type("Handler", (_Handler,), {"answers": answers})
    server: socketserver.BaseServer
    if run_dir is not None:
        server = socketserver.UnixStreamServer(str(run_dir / "admin.sock"), handler)
        where = str(run_dir)
    else:
        server = socketserver.TCPServer(("127.0.0.1", 0), handler)
        where = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield where
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
