"""Clients of a storm: raw sockets that log in (SCRAM-SHA-256, keys computed before) and stay, with as little CPU of their own as can be.

    python -m tests.measure.storm_clients --ports 5222,5322 --first 0 --count 5000 --seconds 10 --prefix user --keys JSON

Whoever is told anything but what it waits for counts as refused, by the condition. Writes one JSON document to stdout.
"""

from __future__ import annotations

import argparse
import base64
import errno
import hashlib
import hmac
import json
import re
import select
import socket
import time
from collections import Counter
from typing import Final, NamedTuple

_CHALLENGE: Final = re.compile(rb"<challenge[^>]*>([^<]+)</challenge>")
_WHY: Final = re.compile(rb"<(?:failure|stream:error)[^>]*>\s*<([a-z-]+)")
_NONCE: Final = "storm"
HEADER: Final = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
BIND: Final = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
_SASL: Final = "urn:ietf:params:xml:ns:xmpp-sasl"


class Keys(NamedTuple):
    """What all accounts of a storm have in common."""

    salt: bytes
    iterations: int
    client: bytes
    stored: bytes
    server: bytes

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int) -> Keys:
        """Derived once (RFC 5802 section 3)."""
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
        client = hmac.digest(salted, b"Client Key", "sha256")
        return cls(salt, iterations, client, hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256"))  # fmt: skip


def _answer(keys: Keys, user: str, challenge: bytes) -> bytes:
    first = base64.b64decode(challenge).decode()
    nonce = first.split(",", 1)[0]
    final = f"c=biws,{nonce}"
    message = f"n={user},r={_NONCE},{first},{final}".encode()
    signature = hmac.digest(keys.stored, message, "sha256")
    proof = bytes(a ^ b for a, b in zip(keys.client, signature, strict=True))
    text = base64.b64encode(f"{final},p={base64.b64encode(proof).decode()}".encode()).decode()
    return f"<response xmlns='{_SASL}'>{text}</response>".encode()


class Client:
    """One of them."""

    __slots__ = ("began", "keys", "seen", "sock", "step", "user")

    def __init__(self, sock: socket.socket, user: str, began: float) -> None:
        self.sock = sock
        self.user = user
        self.began = began
        self.seen = b""
        self.step = 0

    def first(self) -> bytes:
        """The header and what follows from it whatever the answer (RFC 6120 allows to wait for nothing)."""
        text = base64.b64encode(f"n,,n={self.user},r={_NONCE}".encode()).decode()
        return f"<?xml version='1.0'?>{HEADER}<auth xmlns='{_SASL}' mechanism='SCRAM-SHA-256'>{text}</auth>".encode()

    def on(self, data: bytes, keys: Keys) -> tuple[bytes, str]:
        """What to write, and how it ended: "" not yet, "bound", or why not."""
        self.seen += data
        if b"<failure" in self.seen or b"<stream:error" in self.seen or not data:
            found = _WHY.search(self.seen)
            return b"", found[1].decode() if found else "closed"
        if self.step == 0 and (found := _CHALLENGE.search(self.seen)):
            self.step, self.seen = 1, b""
            return _answer(keys, self.user, found[1]), ""
        if self.step == 1 and b"<success" in self.seen and b">" in self.seen[self.seen.index(b"<success") :]:
            self.step, self.seen = 2, b""
            return f"<?xml version='1.0'?>{HEADER}{BIND}".encode(), ""
        if self.step == 2 and b"<jid>" in self.seen:
            return b"", "bound"
        return b"", ""


class Storm:
    """All of one process."""

    def __init__(self, ports: list[int], keys: Keys, prefix: str) -> None:
        self._ports = ports
        self._keys = keys
        self._prefix = prefix
        self._epoll = select.epoll()
        self._clients: dict[int, Client] = {}
        self.asked = 0
        self.ended: Counter[str] = Counter()
        self.took: list[float] = []

    def begin(self, number: int, now: float) -> None:
        """Connect, and say the first words when connected."""
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        # 127.0.0.0/8 is all this machine: ports of one address alone do not suffice for long.
        sock.bind((f"127.0.{1 + number % 200}.1", 0))
        done = sock.connect_ex(("127.0.0.1", self._ports[number % len(self._ports)]))
        if done not in (0, errno.EINPROGRESS):
            self.ended[errno.errorcode[done]] += 1
            sock.close()
            return
        client = Client(sock, f"{self._prefix}{number:06d}", now)
        self._clients[sock.fileno()] = client
        self._epoll.register(sock.fileno(), select.EPOLLOUT)
        self.asked += 1

    def turn(self, timeout: float) -> None:
        """Serve what is ready."""
        for fd, mask in self._epoll.poll(timeout):
            client = self._clients[fd]
            try:
                if mask & select.EPOLLOUT and not mask & (select.EPOLLERR | select.EPOLLHUP):
                    client.sock.send(client.first())
                    self._epoll.modify(fd, select.EPOLLIN)
                    continue
                words, end = client.on(client.sock.recv(16384), self._keys)
                if words:
                    client.sock.send(words)
            except OSError as error:
                end = errno.errorcode.get(error.errno or 0, "error")
            if not end:
                continue
            self.ended[end] += 1
            self._epoll.unregister(fd)
            if end == "bound":
                self.took.append(time.monotonic() - client.began)
            else:
                client.sock.close()
                del self._clients[fd]

    def run(self, first: int, count: int, seconds: float, patience: float) -> None:
        """Ask for all logins at an even pace, then wait for their ends."""
        began = time.monotonic()
        sent = 0
        while sent < count:
            now = time.monotonic()
            due = min(count, int((now - began) / seconds * count) + 1)
            while sent < due:
                self.begin(first + sent, now)
                sent += 1
            self.turn(0.002)
        self.asking = time.monotonic() - began
        until = time.monotonic() + patience
        while sum(self.ended.values()) < count and time.monotonic() < until:
            self.turn(0.05)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", required=True)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--patience", type=float, default=15.0, help="to wait for the last ends")
    parser.add_argument("--stay", type=float, default=5.0, help="to keep the connections after that")
    parser.add_argument("--prefix", default="user")
    parser.add_argument("--password", required=True)
    parser.add_argument("--salt", default="storm-salt")
    parser.add_argument("--iterations", type=int, default=4096)
    arguments = parser.parse_args()
    keys = Keys.of(arguments.password, arguments.salt.encode(), arguments.iterations)
    storm = Storm([int(port) for port in arguments.ports.split(",")], keys, arguments.prefix)
    storm.run(arguments.first, arguments.count, arguments.seconds, arguments.patience)
    took = sorted(storm.took)
    told = {
        "asked": storm.asked, "asking_seconds": round(storm.asking, 2), "ended": dict(storm.ended),
        "p50": round(took[len(took) // 2], 3) if took else None, "p99": round(took[int(len(took) * 0.99)], 3) if took else None,
        "cpu": round(time.process_time(), 2),
    }  # fmt: skip
    print(json.dumps(told), flush=True)
    time.sleep(arguments.stay)


if __name__ == "__main__":
    main()
