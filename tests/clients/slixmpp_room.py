"""slixmpp: two clients at two edges in one room: create, configure, history, subject, invite, kick, ban, archive, destroy.

It runs in a process of its own (`python -m tests.clients.slixmpp_room`), because slixmpp lives on asyncio.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from tests.clients.parties import Parties

ROOM = "garden@conference.localhost"
PLUGINS = ("xep_0030", "xep_0045", "xep_0199", "xep_0249", "xep_0313", "xep_0410")
#: Events whose stanzas are kept.
EVENTS = ("session_start", "groupchat_message", "groupchat_subject", "groupchat_invite")


def gather(who: Parties) -> dict[str, Any]:
    """Run the meeting and return what the two saw. Raises AssertionError with the script's output."""
    job = {
        "ca": str(who.ca_file),
        "people": [(party.jid, party.password, party.c2s) for party in (who.one, who.other)],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.slixmpp_room"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


class Guest:
    """One client, and the events that it saw."""

    def __init__(self, job: dict[str, Any], jid: str, password: str, port: int) -> None:
        from slixmpp import ClientXMPP

        self.client = client = ClientXMPP(jid, password)
        client.ca_certs = job["ca"]
        client.enable_direct_tls = False
        for plugin in PLUGINS:
            client.register_plugin(plugin)
        self.seen: dict[str, asyncio.Queue[Any]] = {}
        for event in (
            *EVENTS,
            *(f"muc::{ROOM}::{what}" for what in ("self-presence", "got_online", "got_offline")),
        ):
            queue = self.seen[event] = asyncio.Queue()
            client.add_event_handler(event, queue.put_nowait)
        client.connect("127.0.0.1", port)
        self.muc = client.plugin["xep_0045"]

    async def next(self, event: str) -> Any:
        return await asyncio.wait_for(self.seen[event].get(), 15)

    async def comes(self, nick: str) -> None:
        """Wait until somebody of that nick is there."""
        while (await self.next(f"muc::{ROOM}::got_online"))["from"].resource != nick:
            pass

    async def bodies(self, count: int) -> list[str]:
        return [(await self.next("groupchat_message"))["body"] for _ in range(count)]

    def say(self, text: str) -> None:
        self.client.send_message(ROOM, text, mtype="groupchat")

    async def gone(self) -> list[int]:
        """The status codes of the next leave of its own."""
        while True:
            presence = await self.next(f"muc::{ROOM}::got_offline")
            codes = sorted(presence["muc"]["status_codes"])
            if 110 in codes and 303 not in codes:
                return codes

    async def refused(self, nick: str) -> str:
        """The condition with which the room does not let it in."""
        from slixmpp.exceptions import PresenceError

        try:
            await self.muc.join_muc_wait(ROOM, nick, timeout=15)
        except PresenceError as error:
            return str(error.condition)
        return ""


async def _meet(job: dict[str, Any]) -> dict[str, Any]:
    one, other = (Guest(job, *person) for person in job["people"])
    await asyncio.gather(one.next("session_start"), other.next("session_start"))
    one.client.send_presence()
    other.client.send_presence()
    other_jid = job["people"][1][0]
    seen: dict[str, Any] = {}
    own, *_ = await one.muc.join_muc_wait(ROOM, "ann", timeout=15)
    seen["created"] = sorted(own["muc"]["status_codes"])
    form = await one.muc.get_room_config(ROOM)
    form.reply()
    form["values"] = {
        **{name: value for name, value in form.get_values().items() if name != "FORM_TYPE"},
        "muc#roomconfig_roomname": "The garden",
        "muc#roomconfig_persistentroom": True,
    }
    await one.muc.set_room_config(ROOM, form)
    one.say("before")
    seen["first"] = await one.bodies(1)
    one.muc.set_subject(ROOM, "roses")
    await asyncio.sleep(0.3)
    one.muc.invite(ROOM, other_jid, "come in")
    invited = await other.next("groupchat_invite")
    seen["invited"] = str(invited["from"])
    _, subject, _, history = await other.muc.join_muc_wait(ROOM, "ben", maxstanzas=10, timeout=15)
    seen["history"] = [message["body"] for message in history]
    seen["subject"] = subject["subject"]
    seen["roster"] = sorted(other.muc.get_roster(ROOM))
    # slixmpp gives what stands in the history as messages too.
    await other.bodies(1)
    for number in range(10):
        one.say(f"ann {number}")
        other.say(f"ben {number}")
    seen["one"], seen["other"] = await asyncio.gather(one.bodies(20), other.bodies(20))
    await other.muc.set_self_nick(ROOM, "bob")
    # (one's own edge may be a moment behind the other's)
    await one.comes("bob")
    seen["renamed"] = sorted(one.muc.get_roster(ROOM))
    seen["in"] = await _inside(other, "bob")
    archived = await one.client.plugin["xep_0313"].retrieve(ROOM, rsm={"max": 50})
    seen["archive"] = [
        result["mam_result"]["forwarded"]["stanza"]["body"] for result in archived["mam"]["results"]
    ]
    await one.muc.set_role(ROOM, "bob", "none", reason="hush")
    seen["kicked"] = await other.gone()
    await other.muc.join_muc_wait(ROOM, "ben", maxstanzas=0, timeout=15)
    await one.muc.set_affiliation(ROOM, "outcast", jid=other_jid, reason="out")
    seen["banned"] = await other.gone()
    seen["refused"] = await other.refused("ben")
    await one.muc.destroy(ROOM, "winter")
    info = await one.client.plugin["xep_0030"].get_items("conference.localhost")
    seen["left"] = [item[0] for item in info["disco_items"]["items"] if item[0] == ROOM]
    one.client.disconnect()
    other.client.disconnect()
    await asyncio.wait([one.client.disconnected, other.client.disconnected], timeout=5)
    return seen


async def _inside(guest: Guest, nick: str) -> bool:
    """Whether the room says that it is in (XEP-0410)."""
    return bool(await guest.client.plugin["xep_0199"].ping(f"{ROOM}/{nick}") < 5)


def main() -> None:
    """Read the job from standard input, print what was seen as one JSON line."""
    job = json.load(sys.stdin)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    print(json.dumps(loop.run_until_complete(asyncio.wait_for(_meet(job), 80))))


if __name__ == "__main__":
    main()
