"""Servers that misbehave, with blocking sockets: each method of `Crowd` is one thread's work until `stop` is set."""

from __future__ import annotations

import base64
import itertools
import re
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from rookery.bench.remotes import grammar
from rookery.shared.net.identity import Identity

DOMAIN: Final = "localhost"
#: Domains that are listed for dialback, whose server accepts and says nothing.
TARGETS: Final = tuple(f"t{number}.storm.example" for number in range(8))
#: Where they come from: no address of the load.
_SOURCE: Final = ("127.0.0.9", 0)
_BIG: Final = b"x" * 65_536


def free_port() -> int:
    """A port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def server_context(identity: Identity) -> ssl.SSLContext:
    """TLS as a server."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.chain, identity.key)
    return context


class Listening:
    """A server that accepts: with TLS it negotiates, and reads nothing afterwards; without it says nothing. `came` counts connections."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self._sock = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._sock.getsockname()[1]
        self.came = 0
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._sock.accept()
            except OSError:
                return
            self.came += 1
            self._kept.append(sock)
            if self._context is not None:
                threading.Thread(target=self._negotiate, args=(sock,), daemon=True).start()

    def _negotiate(self, sock: socket.socket) -> None:
        assert self._context is not None
        try:
            line = Line(sock)
            line.until("<stream:stream[^>]*>")
            line.send(grammar.opening("slow.example", DOMAIN, "1"))
            line.send(grammar.features(secure=False, proved=False, external=True, managed=False))
            line.until("<starttls[^>]*>")
            line.send(grammar.PROCEED)
            line.secure(self._context, server=True)
            for proved in (False, True):
                line.until("<stream:stream[^>]*>")
                line.send(grammar.opening("slow.example", DOMAIN, "2"))
                line.send(grammar.features(secure=True, proved=proved, external=True, managed=False))
                if not proved:
                    line.until("<auth .*?</auth>")
                    line.send(grammar.SUCCESS)
            self._kept.append(line.sock)
        except (OSError, EOFError):
            sock.close()

    def close(self) -> None:
        """Accept nobody any more."""
        self._sock.close()
        for sock in self._kept:
            sock.close()


class Line:
    """One connection. Raises OSError, EOFError."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(20)
        self._text = ""

    def secure(self, context: ssl.SSLContext, *, server: bool = False) -> None:
        """A handshake."""
        self.sock = context.wrap_socket(
            self.sock, server_side=server, server_hostname=None if server else DOMAIN
        )

    def send(self, data: bytes) -> None:
        """Write."""
        self.sock.sendall(data)

    def until(self, pattern: str) -> str:
        """Read up to and with what matches."""
        while (found := re.search(pattern, self._text, re.DOTALL)) is None:
            data = self.sock.recv(65_536)
            if not data:
                raise EOFError(self._text)
            self._text += data.decode(errors="replace")
        said, self._text = self._text[: found.end()], self._text[found.end() :]
        return said

    def drain(self) -> None:
        """Read and forget, from now on."""

        def read() -> None:
            try:
                while self.sock.recv(65_536):
                    pass
            except OSError:
                return

        threading.Thread(target=read, daemon=True).start()


class Crowd:
    """See the module's text. `account` is a user of the cluster; `counts` says what was done."""

    def __init__(self, port: int, c2s: int, identities: Mapping[str, Identity]) -> None:
        self._port, self._c2s = port, c2s
        self._identities = identities
        self.account = ("", "")
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self._numbers = itertools.count()

    # -- streams -------------------------------------------------------------------------------------------------------

    def _again(self, act: Callable[[], None]) -> None:
        """Until `stop`; connections that are refused are tried again soon."""
        while not self.stop.is_set():
            try:
                act()
            except (OSError, EOFError):
                self.counts["ended"] += 1
                time.sleep(0.1)

    def _secured(self, domain: str, certificate: str) -> Line:
        line = Line(socket.create_connection(("127.0.0.1", self._port), 20, source_address=_SOURCE))
        self.counts["connections"] += 1
        line.send(grammar.opening(domain, DOMAIN))
        line.until("</stream:features>")
        line.send(grammar.STARTTLS)
        line.until("<proceed[^>]*>")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        identity = self._identities[certificate]
        context.load_cert_chain(identity.chain, identity.key)
        line.secure(context)
        line.send(grammar.opening(domain, DOMAIN))
        line.until("</stream:features>")
        return line

    def _proved(self, domain: str, certificate: str) -> Line:
        line = self._secured(domain, certificate)
        line.send(b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
        line.until("<success[^>]*>")
        line.send(grammar.opening(domain, DOMAIN))
        line.until("</stream:features>")
        return line

    # -- what they do --------------------------------------------------------------------------------------------------

    def subdomains(self) -> None:
        """One server with ten thousand names, a hundred on each stream; each writes to somebody who is not there, and is told so."""

        def act() -> None:
            first = next(self._numbers) % 10_000
            line = self._proved(f"n{first}.big.example", "*.big.example")
            line.drain()
            for number in [first, *(next(self._numbers) % 10_000 for _ in range(99))]:
                name = f"n{number}.big.example"
                line.send(
                    f"<db:result from='{name}' to='{DOMAIN}'>k</db:result>".encode()
                    + f"<message from='u@{name}' to='nobody@{DOMAIN}' id='m'><body>hi</body></message>".encode()
                )
                self.counts["names"] += 1
            time.sleep(0.5)
            line.sock.close()

        self._again(act)

    def forge(self) -> None:
        """Keys of domains that are believed by dialback, all of them false."""

        def act() -> None:
            line = self._secured(TARGETS[next(self._numbers) % len(TARGETS)], "other.invalid")
            line.drain()
            while not self.stop.is_set():
                number = next(self._numbers)
                name = TARGETS[number % len(TARGETS)]
                line.send(f"<db:result from='{name}' to='{DOMAIN}'>{number:064x}</db:result>".encode())
                self.counts["keys"] += 1

        self._again(act)

    def question(self) -> None:
        """Questions about keys that were never shown, with ids that were never given."""

        def act() -> None:
            line = self._secured("any.invalid", "other.invalid")
            line.drain()
            while not self.stop.is_set():
                number = next(self._numbers)
                line.send(
                    f"<db:verify from='any.invalid' to='{DOMAIN}' id='{number}'>{number:064x}</db:verify>".encode()
                )
                self.counts["questions"] += 1

        self._again(act)

    def errors(self) -> None:
        """Errors, answers to nothing, and what must be answered by errors, as fast as they are read."""
        kinds = (
            "<message from='a@loop.example' to='nobody@localhost' type='error' id='1'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
            "<iq from='a@loop.example' to='nobody@localhost' type='result' id='2'/>",
            "<iq from='a@loop.example' to='nobody@localhost' type='get' id='3'><q xmlns='x:y'/></iq>",
            "<message from='a@loop.example' to='nobody@localhost' id='4'><body>hi</body></message>",
            "<iq from='a@loop.example' to='localhost' type='error' id='5'/>",
        )
        everything = "".join(kinds).encode()

        def act() -> None:
            line = self._proved("loop.example", "loop.example")
            line.drain()
            while not self.stop.is_set():
                line.send(everything)
                self.counts["stanzas"] += len(kinds)

        self._again(act)

    def endless(self) -> None:
        """A stanza without an end, of a domain that has proved itself."""

        def act() -> None:
            line = self._proved("endless.example", "endless.example")
            line.send(b"<message from='a@endless.example' to='nobody@localhost'><body>")
            while not self.stop.is_set():
                line.send(_BIG)
                self.counts["bytes"] += len(_BIG)

        self._again(act)

    def preface(self) -> None:
        """The same before anything is proved."""

        def act() -> None:
            line = Line(socket.create_connection(("127.0.0.1", self._port), 20, source_address=_SOURCE))
            self.counts["connections"] += 1
            line.send(grammar.opening("any.invalid", DOMAIN))
            line.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>")
            while not self.stop.is_set():
                line.send(_BIG)
                self.counts["bytes"] += len(_BIG)

        self._again(act)

    def write_to_the_slow(self) -> None:
        """A user here writes large messages to a server that does not read, and to one that is away."""
        name, password = self.account

        def act() -> None:
            line = Line(socket.create_connection(("127.0.0.1", self._c2s), 20))
            opening = f"<stream:stream to='{DOMAIN}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode()
            line.send(opening)
            line.until("</stream:features>")
            line.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            line.until("<proceed[^>]*>")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            line.secure(context)
            line.send(opening)
            line.until("</stream:features>")
            token = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
            line.send(
                f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{token}</auth>".encode()
            )
            line.until("<success[^>]*>")
            line.send(opening)
            line.until("</stream:features>")
            line.send(b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
            line.until("</iq>")
            line.drain()
            while not self.stop.is_set():
                for there in ("slow.example", "dead.example"):
                    body = "y" * 100_000
                    line.send(
                        f"<message to='u@{there}' type='chat' id='1'><body>{body}</body></message>".encode()
                    )
                    self.counts["messages of 100 kB"] += 1
                time.sleep(0.05)

        self._again(act)
