"""slixmpp: a component (XEP-0114) with several connections that answers each message with its body, and approves whoever wants to see it.

It runs in a process of its own (`python -m tests.clients.slixmpp_component`), because slixmpp lives on asyncio. It prints the id of each message.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, Final
from xml.etree import ElementTree as ET

#: The namespace that it answers in place of the server.
DELEGATED: Final = "urn:example:delegated"


def _component(domain: str, secret: str, port: int, said: Any) -> Any:
    from slixmpp import ComponentXMPP
    from slixmpp.xmlstream.handler import Callback
    from slixmpp.xmlstream.matcher import MatchXPath

    component = ComponentXMPP(domain, secret, "127.0.0.1", port)
    component.enable_plaintext = True

    def on_message(message: Any) -> None:
        if message["type"] in ("chat", "normal"):
            said({"got": message["id"], "from": str(message["from"])})
            component.send_message(
                mto=message["from"], mfrom=message["to"], mbody=f"echo {message['body']}", mtype="chat"
            )

    def on_subscribe(presence: Any) -> None:
        for kind in ("subscribed", "subscribe"):
            component.send_presence(pto=presence["from"].bare, pfrom=presence["to"].bare, ptype=kind)
        component.send_presence(pto=presence["from"].bare, pfrom=presence["to"].bare)

    def on_delegated(iq: Any) -> None:
        """XEP-0355: the result of what was delegated, wrapped as it came."""
        [inner] = iq.xml.iter("{jabber:client}iq")
        said({"delegated": inner.get("id"), "by": inner.get("from")})
        result = ET.Element(
            "{jabber:client}iq", {"type": "result", "id": inner.get("id"), "to": inner.get("from")}
        )
        ET.SubElement(result, f"{{{DELEGATED}}}done")
        forwarded = ET.Element("{urn:xmpp:forward:0}forwarded")
        forwarded.append(result)
        wrapped = ET.Element("{urn:xmpp:delegation:2}delegation")
        wrapped.append(forwarded)
        answer = component.make_iq_result(id=iq["id"], ito=iq["from"], ifrom=iq["to"])
        answer.append(wrapped)
        answer.send()

    component.register_handler(
        Callback(
            "delegated",
            MatchXPath(f"{{{component.default_ns}}}iq/{{urn:xmpp:delegation:2}}delegation"),
            on_delegated,
        )
    )
    component.add_event_handler("message", on_message)
    component.add_event_handler("presence_subscribe", on_subscribe)
    component.add_event_handler("presence_available", lambda p: said({"sees": str(p["from"])}))
    component.add_event_handler("session_start", lambda _: said({"up": port}))
    component.add_event_handler("disconnected", lambda _: said({"down": port}))
    component.connect("127.0.0.1", port)
    return component


async def _serve(domain: str, secret: str, ports: list[int]) -> None:
    def said(what: dict[str, Any]) -> None:
        print(json.dumps(what), flush=True)

    kept = [_component(domain, secret, port, said) for port in ports]
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(sys.stdin, gone.set)  # whoever started us closes it
    await gone.wait()
    del kept
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))
