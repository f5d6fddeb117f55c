"""docs/signalling.md names every endpoint and every error code, and its examples work as they are pasted."""

import ast
import asyncio
import os
import re
import sys
from pathlib import Path

from fastrelay.http.app import build_app
from fastrelay.http.client_secrets import SecretKeeper
from fastrelay.http.desk import Refusal
from tests import offers
from tests.unit.http_desk import CLOSED, KEY, RING, Desk, Served, call_id, served

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/signalling.md").read_text()
PATIENCE_S = 60.0


def examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


async def run(folder: Path, server: Served, *command: str) -> tuple[int | None, str]:
    environment = os.environ | {"URL": f"http://127.0.0.1:{server.address[1]}", "KEY": KEY}
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE_S)
    return process.returncode, output.decode()


def test_every_shell_example_works_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "offer.sdp").write_bytes(offers.load("chrome156").encode())

    async def scene(server: Served) -> None:
        script = "\n".join(["set -euo pipefail", *examples("sh")])
        status, output = await run(tmp_path, server, "bash", "-c", script)
        assert status == 0, output
        ways = [request.way for request in server.desk.requests]
        assert ways == ["realtime", "realtime", "realtime", "realtime", "whip", "realtime"]
        assert [dict(request.session) for request in server.desk.requests] == [
            {},
            {"customer": 4711, "language": "de"},
            {"language": "de"},
            {"customer": 4711},
            {},
            {},
        ]
        assert server.desk.ended == [call_id(1), call_id(5)]
        assert [name for name, _ in server.desk.restarts] == [call_id(5)]
        assert "Accept-Post: application/sdp" in output
        assert f'{{"calls":[{{"call_id":"{call_id(2)}"}}' in output
        assert output.endswith('{"status":"ok"}')

    served(scene, CLOSED)


def test_python_example_works(tmp_path: Path) -> None:
    (tmp_path / "offer.sdp").write_bytes(offers.load("chrome156").encode())

    async def scene(server: Served) -> None:
        (example,) = examples("python")
        status, output = await run(tmp_path, server, sys.executable, "-c", example)
        assert status == 0, output
        assert output.startswith(call_id(1))
        assert "{'type': 'ended'}" in output

    served(scene, CLOSED)


def test_every_endpoint_is_named() -> None:
    app = build_app(Desk(), SecretKeeper(RING), CLOSED)
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in app.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert routes == set(re.findall(r"`([A-Z]+ /[^` ]*)`", PAGE.split("\n\nThe examples")[0]))


def test_every_error_code_is_named() -> None:
    table = PAGE.split("| status | `code` | |")[1].split("\n\n")[0]
    codes = [row.split("|")[2] for row in table.splitlines() if row.count("|") == 4]
    named = set(re.findall(r"`([a-z_]+)`", "".join(codes)))
    raised = {refusal.value for refusal in Refusal}
    for path in (ROOT / "src/fastrelay/http").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                at = {"Problem": 1, "_unauthorized": 0}.get(node.func.id)
                if at is not None and len(node.args) > at and isinstance(node.args[at], ast.Constant):
                    raised.add(str(ast.literal_eval(node.args[at])))
    # To a client that has gone nobody says anything, and aiohttp refuses nothing that we have not refused before.
    assert raised - {"gone", "refused"} == named
