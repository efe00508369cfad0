"""slixmpp with OMEMO (XEP-0384, python-omemo): people who have never met, one of them away, and answers.

It is run as a script by a Python that has slixmpp-omemo, which need not be ours: `ROOKERY_OMEMO_PYTHON`, `.venv-omemo`, or this one.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOW = "python -m venv .venv-omemo && .venv-omemo/bin/pip install slixmpp-omemo"
#: What a message of these namespaces carries is encrypted.
NAMESPACES = ("eu.siacs.conversations.axolotl", "urn:xmpp:omemo:2")


def _has_omemo(path: str) -> bool:
    return subprocess.run([path, "-c", "import slixmpp_omemo"], capture_output=True).returncode == 0


def python() -> str | None:
    """A Python that has slixmpp-omemo, or None."""
    for path in (
        os.environ.get("ROOKERY_OMEMO_PYTHON"),
        str(ROOT / ".venv-omemo/bin/python"),
        sys.executable,
    ):
        if path and Path(path).exists() and _has_omemo(path):
            return path
    return None


def talk(interpreter: str, ca_file: Path, people: list[tuple[str, str, int]]) -> dict[str, Any]:
    """Two people, (JID, password, port): what each of them has read. Raises AssertionError with the script's output."""
    job = {"ca": str(ca_file), "people": people}
    done = subprocess.run(
        [interpreter, __file__], input=json.dumps(job), capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr[-8000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _client(job: dict[str, Any], jid: str, password: str, port: int, store: dict[str, Any]) -> Any:
    """A client whose keys are in `store`, as in the file of a real one."""
    from omemo.storage import Just, Nothing, Storage
    from slixmpp import ClientXMPP
    from slixmpp.plugins import register_plugin
    from slixmpp_omemo import XEP_0384, TrustLevel

    class Memory(Storage):
        async def _load(self, key: str) -> Any:
            return Just(store[key]) if key in store else Nothing()

        async def _store(self, key: str, value: Any) -> None:
            store[key] = value

        async def _delete(self, key: str) -> None:
            store.pop(key, None)

    class Omemo(XEP_0384):  # type: ignore[misc]
        storage = Memory()
        _btbv_enabled = True

        async def _prompt_manual_trust(self, manually_trusted: Any, identifier: Any) -> None:
            manager = await self.get_session_manager()
            for device in manually_trusted:
                await manager.set_trust(device.bare_jid, device.identity_key, TrustLevel.TRUSTED.value)

    class Person(ClientXMPP):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(jid, password)
            self.ca_certs = job["ca"]
            self.enable_direct_tls = False
            for name in ("xep_0030", "xep_0060", "xep_0163", "xep_0115", "xep_0199", "xep_0280", "xep_0334"):
                self.register_plugin(name)
            register_plugin(Omemo)
            self.register_plugin("xep_0384", module=sys.modules[Omemo.__module__])
            self.read: asyncio.Queue[str] = asyncio.Queue()
            self.plain: list[str] = []
            self.known = asyncio.Event()
            self.ready = asyncio.Event()
            self.add_event_handler("session_start", self.begin)
            self.add_event_handler("omemo_initialized", lambda _: self.ready.set())
            self.add_event_handler("message", self.got)
            self.add_event_handler("presence_subscribed", lambda _: self.known.set())

        async def begin(self, _: Any) -> None:
            await self.get_roster()
            self.send_presence()

        async def got(self, stanza: Any) -> None:
            plugin = self["xep_0384"]
            if plugin.is_encrypted(stanza):
                message, _ = await plugin.decrypt_message(stanza)
                self.read.put_nowait(message["body"])
            elif stanza["body"]:
                self.plain.append(stanza["body"])

        async def enter(self) -> None:
            self.connect("127.0.0.1", port)
            await asyncio.wait_for(self.ready.wait(), 40)
            await self["xep_0115"].update_caps()

        async def say(self, to: str, body: str) -> str:
            from slixmpp import JID

            stanza = self.make_message(mto=to, mtype="chat")
            stanza["body"] = body
            encrypted, errors = await self["xep_0384"].encrypt_message(stanza, JID(to))
            assert encrypted is not None
            assert not errors, errors
            encrypted.send()
            return str(encrypted)

        async def next(self) -> str:
            return await asyncio.wait_for(self.read.get(), 30)

        async def leave(self) -> None:
            self.disconnect()
            await self.disconnected

    return Person()


async def _run(job: dict[str, Any]) -> dict[str, Any]:
    stores: list[dict[str, Any]] = [{}, {}]
    alice, bob = (_client(job, *person, store) for person, store in zip(job["people"], stores, strict=True))
    one, other = (person[0] for person in job["people"])
    seen: dict[str, Any] = {"on the wire": []}

    def secret(text: str) -> None:
        seen["on the wire"].append(
            any(f'xmlns="{ns}"' in text or f"xmlns='{ns}'" in text for ns in NAMESPACES)
            and not any(word in text for word in ("first", "second", "third", "fourth"))
        )

    # Bob has published his keys and is away. Alice, who has never seen him, begins an encrypted chat.
    await bob.enter()
    await bob.leave()
    await alice.enter()
    secret(await alice.say(other, "first, while you are away"))
    await asyncio.sleep(1)
    bob = _client(job, *job["people"][1], stores[1])
    await bob.enter()
    seen["away"] = await bob.next()
    # Both are there; the answer goes over the session that the first message made.
    secret(await bob.say(one, "second, an answer"))
    seen["answer"] = await alice.next()
    # The other one goes away, is written to by the session, and comes back.
    await alice.leave()
    secret(await bob.say(one, "third, while you are away"))
    await asyncio.sleep(1)
    alice = _client(job, *job["people"][0], stores[0])
    await alice.enter()
    seen["back"] = await alice.next()
    secret(await alice.say(other, "fourth, good night"))
    seen["last"] = await bob.next()
    seen["left"] = alice.read.qsize() + bob.read.qsize()
    seen["plain"] = alice.plain + bob.plain
    for person in (alice, bob):
        await person.leave()
    return seen


def main() -> None:
    """Read the job from standard input, print what was seen as one JSON line."""
    job = json.load(sys.stdin)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    print(json.dumps(loop.run_until_complete(asyncio.wait_for(_run(job), 130))))


if __name__ == "__main__":
    main()
