"""slixmpp with stream management (XEP-0198): two clients talk while every edge is stopped, killed and replaced under them.

It runs in a process of its own (`python -m tests.clients.slixmpp_resume`), as slixmpp_chat does. The parent breaks the edges; this side says
each second how far it is, one JSON line, and ends when its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

PLUGINS = ("xep_0030", "xep_0198", "xep_0199", "xep_0280")


class Talker:
    """One client, its counts, and what it got."""

    def __init__(self, job: dict[str, Any], jid: str, password: str) -> None:
        from slixmpp import ClientXMPP

        self.port = job["port"]
        self.sent = 0
        self.live = False
        self.to = ""
        #: What slixmpp has dropped: it took the message from its queue after the connection was gone, and after it had stopped counting.
        self.dropped: list[str] = []
        self.got: list[str] = []
        self.counts = {"session_start": 0, "session_resumed": 0, "sm_failed": 0, "disconnected": 0}
        self.client = client = ClientXMPP(jid, password)
        client.ca_certs = job["ca"]
        client.enable_direct_tls = False
        for plugin in PLUGINS:
            client.register_plugin(plugin)
        for event in self.counts:
            client.add_event_handler(event, lambda _, event=event: self.count(event))
        client.add_event_handler("message", lambda message: self.got.append(message["body"]))
        send_raw = client.send_raw

        def noticing(data: str | bytes) -> None:
            if not client.transport and (body := re.search("<body>(.*)</body>", str(data))):
                self.dropped.append(body[1])
            send_raw(data)

        client.send_raw = noticing
        client.connect("127.0.0.1", self.port)

    def count(self, event: str) -> None:
        from slixmpp import JID

        self.counts[event] += 1
        self.live = event in ("session_start", "session_resumed")
        if event == "session_start":
            self.client.send_presence()
        elif event == "session_resumed":
            # Behind what stream management sends again, which is in the queue already.
            again = {stanza["body"] for _, stanza in self.client["xep_0198"].unacked_queue}
            for body in self.dropped:
                if body not in again:
                    self.client.send_message(JID(self.to), body, mtype="chat")
            self.dropped.clear()
        elif event == "disconnected":
            asyncio.get_running_loop().call_later(0.3, self.client.connect, "127.0.0.1", self.port)

    def talk(self, to: str) -> None:
        """One more message, while there is a session."""
        self.to = to
        if self.live and self.client.is_connected():
            from slixmpp import JID

            self.client.send_message(JID(to), str(self.sent), mtype="chat")
            self.sent += 1

    def told(self) -> dict[str, Any]:
        return {**self.counts, "sent": self.sent, "got": self.got}


async def talk(job: dict[str, Any]) -> None:
    (one_jid, one_password), (other_jid, other_password) = job["people"]
    one, other = Talker(job, one_jid, one_password), Talker(job, other_jid, other_password)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    ended = loop.create_task(reader.read())
    ticks = 0
    while not ended.done():
        await asyncio.sleep(0.02)
        one.talk(other_jid)
        other.talk(one_jid)
        ticks += 1
        if ticks % 25 == 0:
            print(json.dumps([{**each.told(), "got": len(each.got)} for each in (one, other)]), flush=True)
    for _ in range(500):
        await asyncio.sleep(0.02)
        if len(one.got) >= other.sent and len(other.got) >= one.sent:
            break
    print(json.dumps([one.told(), other.told()]), flush=True)


def main() -> None:
    """Read the job from the first argument."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(talk(json.loads(sys.argv[1])))


if __name__ == "__main__":
    main()
