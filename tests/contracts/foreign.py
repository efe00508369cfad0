"""Clients that fill other servers, before those are imported."""

from __future__ import annotations

import base64
import re
import socket


class Client:
    """A new account `user` with the password `pw-USER`, without TLS: it says what it is told, and waits for the answer."""

    def __init__(self, port: int, user: str, domain: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 5)
        self._socket.settimeout(5)
        self._domain = domain
        self._open()
        register = f"<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>{user}</username><password>pw-{user}</password></query></iq>"
        self.say(register, "id='r'")
        plain = base64.b64encode(f"\0{user}\0pw-{user}".encode()).decode()
        self.say(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>", "<success"
        )
        self._open()
        self.ask("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind>")

    def _open(self) -> None:
        self.say(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
            f"to='{self._domain}' version='1.0'>",
            "</stream:features>",
        )

    def say(self, text: str, until: str = "") -> str:
        self._socket.sendall(text.encode())
        got = b""
        while until and until.encode() not in got:
            piece = self._socket.recv(65536)
            assert piece, got
            got += piece
        return got.decode()

    def ask(self, payload: str, type: str = "set", to: str = "") -> None:
        answer = self.say(f"<iq type='{type}' id='q1'{f' to={to!r}' if to else ''}>{payload}</iq>", "id='q1'")
        while not (found := re.search(r"<iq [^>]*id='q1'[^>]*>", answer)):
            answer += self._socket.recv(65536).decode()
        assert "type='result'" in found[0], answer

    def close(self) -> None:
        self.say("</stream:stream>", "</stream:stream>")
        self._socket.close()
