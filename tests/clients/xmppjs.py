"""xmpp.js (`@xmpp/client` from the npm registry): one client over WebSocket, one over TCP, on two edges."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.clients.parties import MissingError, Parties

#: `ws` is for Node before 22, which has no WebSocket of its own.
PACKAGES = ("@xmpp/client@0.14.0", "ws@8.18.0")
_SCRIPT = Path(__file__).with_name("chat.mjs")


@cache
def modules() -> Path:
    """A directory with the npm package installed; `ROOKERY_TEST_NODE` names one that is kept. Raises MissingError."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise MissingError("node and npm are not installed")
    kept = os.environ.get("ROOKERY_TEST_NODE")
    home = Path(kept or tempfile.mkdtemp(prefix="rookery-node-"))
    if kept is None:
        atexit.register(shutil.rmtree, home, ignore_errors=True)
    home.mkdir(parents=True, exist_ok=True)
    if (home / "node_modules" / "@xmpp" / "client").is_dir():
        return home
    (home / "package.json").write_text('{"private": true}')
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *PACKAGES]
    try:
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=100)
    except subprocess.TimeoutExpired as exc:
        raise MissingError("the npm registry does not answer") from exc
    if done.returncode:
        raise MissingError(f"npm cannot install @xmpp/client: {done.stderr[-300:]}")
    return home


def chat(who: Parties) -> dict[str, Any]:
    """Run the conversation and return what the two saw. Raises AssertionError with the script's output, MissingError."""
    home = modules()
    job = {
        "people": [
            {
                "service": f"wss://localhost:{who.one.http}/xmpp-websocket",
                "jid": who.one.jid,
                "password": who.one.password,
            },
            {
                "service": f"xmpp://localhost:{who.other.c2s}",
                "jid": who.other.jid,
                "password": who.other.password,
            },
        ]
    }
    done = subprocess.run(
        ["node", str(_SCRIPT)],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=90,
        env={**os.environ, "CHAT_MODULES": str(home), "NODE_EXTRA_CA_CERTS": str(who.ca_file)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
