"""Profanity, a console client, driven through tmux: it logs in, gets a message and sends one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import trio
from tests.clients.parties import MissingError, Parties
from tests.stories.client import Client, Endpoint, tls_context

_LIMIT = 30.0


class Terminal:
    """A tmux server of its own with one window."""

    def __init__(self, home: Path, command: str, variables: Mapping[str, str]) -> None:
        self._tmux = ["tmux", "-S", str(home / "tmux"), "-f", "/dev/null"]
        environment = {key: value for key, value in os.environ.items() if key != "TMUX"}
        environment |= {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
        }
        environment |= {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color", **variables}
        size = ["-x", "160", "-y", "50"]
        subprocess.run([*self._tmux, "new-session", "-d", *size, command], check=True, env=environment)

    def type(self, text: str) -> None:
        """Type a line."""
        subprocess.run([*self._tmux, "send-keys", "-l", text], check=True)
        subprocess.run([*self._tmux, "send-keys", "Enter"], check=True)

    def screen(self) -> str:
        """What the window shows."""
        done = subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True)
        return done.stdout

    def wait(self, condition: Callable[[str], bool], what: str) -> str:
        """Wait until the screen shows it. Raises AssertionError with the screen."""
        deadline = time.monotonic() + _LIMIT
        while not condition(screen := self.screen()):
            assert time.monotonic() < deadline, f"waited for {what}:\n{screen}"
            time.sleep(0.1)
        return screen

    def close(self) -> None:
        """End tmux and what runs in it."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)


#: What makes OpenSSL, under libstrophe, speak one version of TLS only.
_OPENSSL = """openssl_conf = all
[all]
ssl_conf = ssl
[ssl]
system_default = versions
[versions]
MinProtocol = {0}
MaxProtocol = {0}
"""


def chat(who: Parties, tls: str) -> dict[str, Any]:
    """Let Profanity talk with a client on another edge over a version of TLS ("TLSv1.3"); return the last screen.

    Raises AssertionError, MissingError.
    """
    for program in ("profanity", "tmux"):
        if shutil.which(program) is None:
            raise MissingError(f"{program} is not installed")
    home = Path(tempfile.mkdtemp(prefix="rookery-profanity-"))
    (home / "openssl.cnf").write_text(_OPENSSL.format(tls))
    terminal = Terminal(home, "profanity", {"OPENSSL_CONF": str(home / "openssl.cnf")})
    try:
        return _talk(terminal, who)
    finally:
        terminal.close()
        shutil.rmtree(home, ignore_errors=True)


def _talk(terminal: Terminal, who: Parties) -> dict[str, Any]:
    terminal.wait(lambda screen: "Profanity" in screen, "Profanity to start")
    terminal.type(f"/connect {who.one.jid} server 127.0.0.1 port {who.one.c2s} tls trust")
    terminal.wait(lambda screen: "password" in screen.lower(), "the question for the password")
    terminal.type(who.one.password)
    terminal.wait(lambda screen: "logged in successfully" in screen, "the login")

    async def other_side() -> tuple[str, str]:
        context = tls_context(who.ca_file.read_text(), "starttls")
        client = Client(Endpoint("127.0.0.1", who.other.c2s, "starttls", context), "localhost")
        await client.login(who.other.jid.partition("@")[0], who.other.password)
        await client.send("<presence/>")
        await client.receive()
        await client.send(
            f"<message to='{who.one.jid}' type='chat'><body>hello from edge two</body></message>"
        )
        terminal.type(f"/msg {who.other.jid} hello from profanity")
        said = await _body(client)
        room = await _meet(terminal, client)
        await client.disconnect()
        return said, room

    got, room = trio.run(other_side)
    screen = terminal.wait(lambda text: "welcome to the garden" in text, "the message of the room")
    terminal.type("/win 2")
    terminal.wait(lambda text: "hello from edge two" in text, "the message")
    terminal.type("/quit")
    return {"got": got, "room": room, "screen": screen}


async def _body(client: Client) -> str:
    while True:
        body = (await client.receive(_LIMIT)).find("{jabber:client}body")
        if body is not None:
            return body.text or ""


async def _meet(terminal: Terminal, client: Client) -> str:
    """The other side makes a room, Profanity enters it and both talk; returns what it said."""
    room = f"garden{os.getpid()}{time.time_ns()}@conference.localhost"
    await client.send(f"<presence to='{room}/host'><x xmlns='http://jabber.org/protocol/muc'/></presence>")
    form = "<x xmlns='jabber:x:data' type='submit'/>"
    await client.request(
        f"<iq type='set' to='{room}' id='open'><query xmlns='http://jabber.org/protocol/muc#owner'>{form}</query></iq>"
    )
    terminal.type(f"/join {room} nick prof")
    while True:
        element = await client.receive(_LIMIT)
        if element.get("from") == f"{room}/prof":
            break
    await client.send(f"<message to='{room}' type='groupchat'><body>welcome to the garden</body></message>")
    terminal.wait(lambda text: "welcome to the garden" in text, "the message of the room")
    terminal.type("a nice garden")
    while (said := await _body(client)) != "a nice garden":
        pass
    return said
