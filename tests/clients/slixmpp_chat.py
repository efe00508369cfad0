"""slixmpp: two clients over STARTTLS on two edges: subscription, presence, chat, roster, disco, ping, version.

It runs in a process of its own (`python -m tests.clients.slixmpp_chat`), because slixmpp lives on asyncio.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from tests.clients.parties import Parties


def chat(who: Parties) -> dict[str, Any]:
    """Run the conversation and return what the two saw. Raises AssertionError with the script's output."""
    job = {
        "ca": str(who.ca_file),
        "people": [(party.jid, party.password, party.c2s) for party in (who.one, who.other)],
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.clients.slixmpp_chat"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


async def _converse(job: dict[str, Any]) -> dict[str, Any]:
    from slixmpp import ClientXMPP

    def login(jid: str, password: str, port: int) -> tuple[Any, dict[str, asyncio.Queue[Any]]]:
        client = ClientXMPP(jid, password)
        client.ca_certs = job["ca"]
        client.enable_direct_tls = False
        for plugin in ("xep_0030", "xep_0199", "xep_0092", "xep_0054", "xep_0012", "xep_0191", "xep_0077"):
            client.register_plugin(plugin)
        queues: dict[str, asyncio.Queue[Any]] = {}
        events = ("session_start", "message", "presence_available", "presence_unavailable", "failed_all_auth")
        for event in (*events, "presence_subscribe", "roster_update"):
            queue = queues[event] = asyncio.Queue()
            client.add_event_handler(event, queue.put_nowait)
        client.connect("127.0.0.1", port)
        return client, queues

    seen: dict[str, Any] = {}
    (one, at_one), (other, at_other) = (login(*person) for person in job["people"])
    one_jid, other_jid = (person[0] for person in job["people"])
    await asyncio.gather(at_one["session_start"].get(), at_other["session_start"].get())
    seen["bound"] = [str(one.boundjid), str(other.boundjid)]
    for client in (one, other):
        await client.get_roster()
        client.send_presence()
    # slixmpp answers a request with an approval and a request of its own.
    one.send_presence_subscription(other_jid, ptype="subscribe")
    await at_other["presence_subscribe"].get()

    async def sees(queue: asyncio.Queue[Any], bare: str) -> None:
        while (await queue.get())["from"].bare != bare:
            pass

    await sees(at_one["presence_available"], other_jid)
    await sees(at_other["presence_available"], one_jid)
    for number in range(20):
        one.send_message(other_jid, f"hello {number}", mtype="chat")
        other.send_message(one.boundjid.full, f"answer {number}", mtype="chat")
    seen["other got"] = [(await at_other["message"].get())["body"] for _ in range(20)]
    seen["one got"] = [(await at_one["message"].get())["body"] for _ in range(20)]
    # The second time slixmpp names the version that it knows and gets nothing new.
    await one.get_roster()
    seen["roster"] = one.client_roster[other_jid]["subscription"]
    info = await one["xep_0030"].get_info("localhost")
    seen["features"] = sorted(info["disco_info"]["features"])
    seen["ping"] = await one["xep_0199"].ping(other.boundjid.full) < 5
    seen["version"] = (await one["xep_0092"].get_version("localhost"))["software_version"]["name"]
    other.disconnect()
    await sees(at_one["presence_unavailable"], other_jid)
    one.disconnect()
    await one.disconnected
    return seen


def main() -> None:
    """Read the job from standard input, print what was seen as one JSON line."""
    job = json.load(sys.stdin)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    print(json.dumps(loop.run_until_complete(asyncio.wait_for(_converse(job), 60))))


if __name__ == "__main__":
    main()
