"""The examples do what they say, as they are printed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fastrelay.routing import KeyRing, MintedToken
from fastrelay.routing.token import open_sealed
from fastrelay.wire.address import format_endpoint, parse_endpoint
from tests.live.ends import Address, CallingClient, speech
from tests.live.process import Lines, RelayProcess, options

EXAMPLES = Path(__file__).parents[2] / "examples"


def command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name), *arguments]


def with_ring(ring_file: Path) -> dict[str, str]:
    return os.environ | {"FASTRELAY_KEYS_FILE": str(ring_file)}


def mint(ring_file: Path, ring: KeyRing, to: Address) -> MintedToken:
    """What examples/mint_token.py prints, read as a client reads an answer."""
    printed = subprocess.run(
        command("mint_token.py", format_endpoint(*to)),
        env=with_ring(ring_file),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    attributes = dict(line.removeprefix("a=").split(":", 1) for line in printed.splitlines())
    ufrag, password = attributes["ice-ufrag"], attributes["ice-pwd"]
    return MintedToken(ufrag, password, open_sealed(ufrag, ring.keys[0]))


@contextmanager
def echo(ring_file: Path) -> Iterator[Address]:
    with subprocess.Popen(
        command("trunk_echo.py", "127.0.0.1:0", "127.0.0.0/8"), env=with_ring(ring_file), stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            ready = Lines(process.stdout.fileno()).until(lambda line: line.startswith("ready "))
            yield parse_endpoint(ready.removeprefix("ready "))
        finally:
            process.kill()


def test_minted_token_brings_a_client_to_the_echo_and_back(ring_file: Path, ring: KeyRing) -> None:
    with (
        RelayProcess(*options("127.0.0.1", "127.0.0.1", ring_file, "127.0.0.1")) as relay,
        echo(ring_file) as transceiver,
    ):
        minted = mint(ring_file, ring, transceiver)
        assert minted.token.transceiver == transceiver
        with CallingClient("127.0.0.1", relay.clients[0], minted) as client:
            check = client.check()
            assert client.receive() == (check, relay.clients[0])
            for number in range(20):
                client.send(spoken := speech(number))
                assert client.receive() == (spoken, relay.clients[0])


@pytest.mark.parametrize("name", ["mint_token.py", "trunk_echo.py"])
def test_example_without_arguments_says_how_to_run_it(name: str, ring_file: Path) -> None:
    done = subprocess.run(command(name), env=with_ring(ring_file), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"python examples/{name}" in done.stderr
