"""slixmpp and PEP: a phone and a desktop of one account, and a contact, on two edges: OMEMO keys, bookmarks, avatars, last items.

It runs in a process of its own (`python -m tests.clients.slixmpp_pep`), because slixmpp lives on asyncio.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import sys
from typing import Any

from tests.clients.parties import Parties

OMEMO = "eu.siacs.conversations.axolotl"
DEVICES, BUNDLE = f"{OMEMO}.devicelist", f"{OMEMO}.bundles:31415"
BOOKMARKS = "urn:xmpp:bookmarks:1"
OLD_BOOKMARKS = "storage:bookmarks"
AVATAR = "urn:xmpp:avatar:metadata"
NODES = (DEVICES, BOOKMARKS, AVATAR, "urn:x:tunes")
#: More than one page of a client that asks for few, fewer than the quota of a node.
ROOMS = 100
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8


def pep(who: Parties) -> dict[str, Any]:
    """Run it and return what the clients saw. Raises AssertionError with the script's output."""
    job = {
        "ca": str(who.ca_file),
        "people": [
            (who.one.jid + "/phone", who.one.password, who.one.c2s),
            (who.one.jid + "/desk", who.one.password, who.other.c2s),
            (who.other.jid + "/home", who.other.password, who.other.c2s),
        ],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.slixmpp_pep"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class _Person:
    """A client, and the events of nodes that it got."""

    def __init__(self, ca: str, jid: str, password: str, port: int) -> None:
        from slixmpp import ClientXMPP

        self.client: Any = ClientXMPP(jid, password)
        self.client.ca_certs = ca
        self.client.enable_direct_tls = False
        for name in ("0030", "0060", "0115", "0163", "0084", "0402", "0049", "0048", "0054"):
            self.client.register_plugin(f"xep_{name}")
        for node in NODES:
            self.client.plugin["xep_0030"].add_feature(f"{node}+notify")
        self.events: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue()
        self.presences: asyncio.Queue[Any] = asyncio.Queue()
        self.started = asyncio.Event()
        self.client.add_event_handler("session_start", lambda _: self.started.set())
        self.client.add_event_handler("presence", self.presences.put_nowait)
        self.client.add_filter("in", self._see)
        self.port = port

    def _see(self, stanza: Any) -> Any:
        event = stanza.xml.find("{http://jabber.org/protocol/pubsub#event}event")
        if event is not None:
            for what in event:
                if what.get("node") == OLD_BOOKMARKS:
                    continue  # (slixmpp asks for these, too: told beside the others)
                for item in list(what) or [what]:
                    kind = item.tag.partition("}")[2]
                    self.events.put_nowait((what.get("node"), kind, item.get("id") or ""))
        return stanza

    async def enter(self) -> None:
        self.client.connect("127.0.0.1", self.port)
        await self.started.wait()
        await self.client.plugin["xep_0115"].update_caps(broadcast=False)
        await self.client.get_roster()
        self.client.send_presence()

    async def next(self) -> tuple[str, str, str]:
        return await asyncio.wait_for(self.events.get(), 20)

    async def leave(self) -> None:
        self.client.disconnect()
        await self.client.disconnected


def _options(**fields: str) -> Any:
    from slixmpp.plugins.xep_0004 import Form

    form = Form()
    form["type"] = "submit"
    form.add_field(var="FORM_TYPE", ftype="hidden", value="http://jabber.org/protocol/pubsub#publish-options")
    for name, value in fields.items():
        form.add_field(var=f"pubsub#{name}", value=value)
    return form


def _xml(text: str) -> Any:
    from xml.etree.ElementTree import fromstring

    return fromstring(text)


PRIVATE = {
    "access_model": "whitelist",
    "max_items": "max",
    "persist_items": "true",
    "send_last_published_item": "never",
}


async def _publish(person: _Person, node: str, id: str, xml: str, **options: str) -> None:
    # The plug-in takes XML of the standard library, whatever its annotations say.
    await person.client.plugin["xep_0060"].publish(
        None, node, id=id, payload=_xml(xml), options=_options(**options) if options else None, timeout=20
    )


async def _ids(person: _Person, node: str, owner: str | None = None) -> list[str]:
    found = await person.client.plugin["xep_0060"].get_items(owner, node, timeout=20)
    return [item["id"] for item in found["pubsub"]["items"]]


async def _run(job: dict[str, Any]) -> dict[str, Any]:
    from slixmpp import JID
    from slixmpp.exceptions import IqError

    seen: dict[str, Any] = {}
    phone, desk, home = (_Person(job["ca"], *person) for person in job["people"])
    one, other = (phone.client.boundjid.bare, home.client.boundjid.bare)
    for person in (phone, desk, home):
        await person.enter()
    phone.client.send_presence_subscription(other, ptype="subscribe")
    while (await asyncio.wait_for(phone.presences.get(), 20))["from"].bare != other:
        pass
    while (await asyncio.wait_for(home.presences.get(), 20))["from"].bare != one:
        pass
    await asyncio.sleep(1)
    # Keys: everybody who wants to know is told, the publisher's own clients, too.
    await _publish(
        phone, DEVICES, "current", f"<list xmlns='{OMEMO}'><device id='31415'/></list>", access_model="open"
    )
    seen["devices"] = [await person.next() for person in (phone, desk, home)]
    await _publish(phone, BUNDLE, "current", f"<bundle xmlns='{OMEMO}'/>", access_model="open", max_items="1")
    seen["bundle"] = await _ids(home, BUNDLE, one)
    # Bookmarks: nobody but the account's clients hears of them.
    for number in range(ROOMS):
        xml = f"<conference xmlns='{BOOKMARKS}' name='Room {number}' autojoin='true'><nick>me</nick></conference>"
        await _publish(phone, BOOKMARKS, f"room{number}@rooms.localhost", xml, **PRIVATE)
    seen["told rooms"] = [(await desk.next())[2] for _ in range(ROOMS)]
    for _ in range(ROOMS):
        await phone.next()
    seen["rooms"] = len(await _ids(desk, BOOKMARKS))
    try:
        await _ids(home, BOOKMARKS, one)
    except IqError as exc:
        seen["stranger"] = exc.condition
    await phone.client.plugin["xep_0060"].retract(
        None, BOOKMARKS, "room7@rooms.localhost", notify=True, timeout=20
    )
    seen["retracted"] = [await person.next() for person in (phone, desk)]
    seen["rooms then"] = len(await _ids(desk, BOOKMARKS))
    # An old client sees them in private XML and adds one: new clients hear of that one only.
    old = phone.client.plugin["xep_0049"]
    found = await old.retrieve("bookmarks", timeout=20)
    storage = found["private"]["bookmarks"]
    seen["rooms of old clients"] = len(storage["conferences"])
    storage.add_conference(JID("added@rooms.localhost"), "me", name="Added")
    await old.store(storage, timeout=20)
    seen["added"] = [await person.next() for person in (phone, desk)]
    # An avatar.
    id = hashlib.sha1(PICTURE).hexdigest()
    await phone.client.plugin["xep_0084"].publish_avatar(PICTURE, timeout=20)
    info = {"id": id, "type": "image/png", "bytes": str(len(PICTURE)), "width": "64", "height": "64"}
    await phone.client.plugin["xep_0084"].publish_avatar_metadata([info], timeout=20)
    seen["avatar"] = [(await person.next())[0] for person in (phone, desk, home)]
    got = await home.client.plugin["xep_0084"].retrieve_avatar(one, id, timeout=20)
    card = await home.client.plugin["xep_0054"].get_vcard(one, cached=False, timeout=20)
    seen["picture of the card"] = card["vcard_temp"]["PHOTO"]["BINVAL"] == PICTURE
    while home.presences.qsize():
        home.presences.get_nowait()
    phone.client.send_presence(pshow="away")
    while (shown := await asyncio.wait_for(home.presences.get(), 20))["show"] != "away":
        pass
    seen["hash in presence"] = id in str(shown)
    seen["picture"] = got["pubsub"]["items"]["item"]["avatar_data"]["value"] == PICTURE
    # A contact fetches keys while no client of their owner is online, as whoever begins an encrypted chat does.
    for person in (phone, desk):
        await person.leave()
    seen["devices while away"] = await _ids(home, DEVICES, one)
    seen["bundle while away"] = await _ids(home, BUNDLE, one)
    phone, desk = (_Person(job["ca"], *person) for person in job["people"][:2])
    for person in (phone, desk):
        await person.enter()
        await person.next()  # its own device list, then the avatar
        await person.next()
    # Another device joins the list; the preconditions of the node still hold, others do not.
    list_ = f"<list xmlns='{OMEMO}'><device id='31415'/><device id='27182'/></list>"
    await _publish(desk, DEVICES, "current", list_, access_model="open")
    seen["devices then"] = [await person.next() for person in (phone, desk, home)]
    try:
        await _publish(desk, DEVICES, "current", list_, access_model="whitelist")
    except IqError as exc:
        seen["precondition"] = exc.condition
    # Who comes online gets the last items, of its own nodes and its contacts'.
    await home.leave()
    home = _Person(job["ca"], *job["people"][2])
    await home.enter()
    seen["at login"] = sorted([(await home.next())[0] for _ in range(2)])
    await phone.client.plugin["xep_0060"].delete_node(None, DEVICES, timeout=20)
    seen["deleted"] = [(await person.next())[1] for person in (phone, desk, home)]
    await asyncio.sleep(0.5)
    seen["left"] = sum(person.events.qsize() for person in (phone, desk, home))
    for person in (phone, desk, home):
        await person.leave()
    return seen


def main() -> None:
    """Read the job from standard input, print what was seen as one JSON line."""
    job = json.load(sys.stdin)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    print(json.dumps(loop.run_until_complete(asyncio.wait_for(_run(job), 100))))


if __name__ == "__main__":
    main()
