"""A DNS server for domains that exist nowhere else: SRV and address records of a table, and the ways in which real ones fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from typing import Final, NamedTuple, Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

#: How a name fails, in place of records.
NXDOMAIN: Final = "nxdomain"
SERVFAIL: Final = "servfail"
SILENT: Final = "silent"


class Record(NamedTuple):
    """`type` as SRV, A, AAAA or CNAME; `data` as in a zone file. With a failure as the type there is no data."""

    name: str
    type: str
    data: str = ""
    ttl: int = 60


class Names:
    """Answers on a UDP port (of loopback, or of `host`) from its own thread, while it is open. A name that is not in the table does not exist.

    Raises OSError when the port is not free.
    """

    def __init__(self, records: Iterable[Record] = (), port: int = 0, host: str = "127.0.0.1") -> None:
        self._records: dict[str, list[Record]] = {}
        self._host = host
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._sock.bind((host, port))
        except OSError:
            self._sock.close()
            raise
        self.port: int = self._sock.getsockname()[1]
        #: Questions by (name, type), for whoever counts them.
        self.asked: list[tuple[str, str]] = []
        #: Say that answers were validated (DNSSEC).
        self.validated = False
        for record in records:
            self.add(record)
        self._thread = threading.Thread(target=self._serve, name="dns", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """One more record."""
        self._records.setdefault(record.name.lower().rstrip("."), []).append(record)

    def serve(
        self, domain: str, port: int, *, tls: bool = False, address: str = "127.0.0.1", host: str = ""
    ) -> None:
        """The records of a domain with one server, on `xmpp.DOMAIN` or another `host`."""
        service, host = "_xmpps-server" if tls else "_xmpp-server", host or f"xmpp.{domain}"
        self.add(Record(f"{service}._tcp.{domain}", "SRV", f"0 5 {port} {host}."))
        self.add(Record(host, "AAAA" if ":" in address else "A", address))

    def close(self) -> None:
        """Answer no more."""
        # A datagram wakes the thread; to close the socket under it would not.
        self._records = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", (self._host, self.port))
        self._thread.join()
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _serve(self) -> None:
        while True:
            data, source = self._sock.recvfrom(4096)
            if not data:
                return
            try:
                answer = self._answer(dns.message.from_wire(data))
            except dns.exception.DNSException:
                continue
            if answer is not None:
                self._sock.sendto(answer.to_wire(), source)

    def _answer(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        type = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, type))
        answer = dns.message.make_response(query, recursion_available=True)
        if self.validated:
            answer.flags |= dns.flags.AD
        for _ in range(8):
            records = self._records.get(name)
            if records is None:
                answer.set_rcode(dns.rcode.NXDOMAIN)
                return answer
            failure = records[0].type
            if failure == SILENT:
                return None
            if failure in (NXDOMAIN, SERVFAIL):
                answer.set_rcode(dns.rcode.NXDOMAIN if failure == NXDOMAIN else dns.rcode.SERVFAIL)
                return answer
            found = [record for record in records if record.type in (type, "CNAME")]
            if not found:
                return answer
            answer.answer.append(
                dns.rrset.from_text(
                    name + ".", found[0].ttl, "IN", found[0].type, *[each.data for each in found]
                )
            )
            if found[0].type != "CNAME":
                return answer
            name = found[0].data.lower().rstrip(".")
        return answer
