"""A server of others beside a whole cluster: a Prosody; `tests.cluster.their_ejabberd` has another. Both sides have certificates of one authority.

The other server finds the cluster by DNS, the cluster finds it by routes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Protocol

from tests.cluster.federated import Lab
from tests.contracts.s2s_peers import Prosody, prosody

from rookery.bench.remotes.dns import Names

OURS, THEIRS = "one.example", "p.example"
OUR_ROOMS, THEIR_ROOMS = f"conference.{OURS}", f"conference.{THEIRS}"
_MODULES: Final = ("vcard", "pep", "blocklist", "private", "s2s_bidi")
_PROSODY: Final = """
s2s_secure_auth = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
"""


class Theirs(Protocol):
    """A server of others."""

    c2s: int
    port: int

    def start(self) -> None:
        """Run it with the data that it has."""

    def kill(self) -> None:
        """SIGKILL it; what is in its folder stays."""

    def stop(self) -> None:
        """The end."""

    def lives(self) -> bool:
        """Whether the process is there."""

    def output(self) -> str:
        """What it said."""

    def account(self, name: str) -> None:
        """Make a user whose password is the name."""


class TheirProsody:
    """With rooms, and one stream for both directions."""

    def __init__(self, home: Path, lab: Lab, dns: int) -> None:
        self._made = Prosody(home, THEIRS, dns)
        self._ca = lab.authority.ca_file
        self._running = ExitStack()
        self.c2s, self.port = self._made.c2s, self._made.port
        for domain, chain, key in ((THEIRS, "chain.pem", "key.pem"), (THEIR_ROOMS, "rooms.pem", "rooms.key")):
            issued = lab.authority.directory / domain
            (home / chain).write_bytes((issued / "fullchain.pem").read_bytes())
            (home / key).write_bytes((issued / "privkey.pem").read_bytes())

    def start(self) -> None:
        home = self._made.folder
        rooms = f"""Component "{THEIR_ROOMS}" "muc"
  muc_room_locking = false
  ssl = {{ certificate = "{home}/rooms.pem"; key = "{home}/rooms.key"; cafile = "{self._ca}" }}"""
        self._running.enter_context(
            prosody(self._made, self._ca, modules=_MODULES, more=_PROSODY, services=rooms)
        )

    def kill(self) -> None:
        assert self._made.process is not None
        self._made.process.kill()
        self._made.process.wait()
        self._running.close()

    def stop(self) -> None:
        self._running.close()

    def lives(self) -> bool:
        return self._made.process is not None and self._made.process.poll() is None

    def output(self) -> str:
        return (self._made.folder / "output.log").read_text()

    def account(self, name: str) -> None:
        folder = self._made.folder / "data" / THEIRS.replace(".", "%2e") / "accounts"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.dat").write_text(f'return {{ ["password"] = "{name}" }};\n')
        for path in (folder, *folder.parents, folder / f"{name}.dat"):
            if self._made.folder in path.parents:
                path.chmod(0o777 if path.is_dir() else 0o666)


@contextmanager
def between(
    make: Callable[[Path, Lab, int], Theirs], settings: Mapping[str, str] | None = None
) -> Iterator[tuple[Lab, Theirs]]:
    """A cluster and another server that run, and know each other. `settings`: environment of the cluster."""
    with Lab((OURS, OUR_ROOMS, THEIRS, THEIR_ROOMS)) as lab, Names() as names, ExitStack() as stack:
        home = lab.home / "theirs"
        home.mkdir()
        for path in (lab.authority.ca_file, lab.authority.ca_file.parent):
            path.chmod(0o755)
        theirs = make(home, lab, names.port)
        stack.callback(theirs.stop)
        theirs.start()
        lab.ports[OUR_ROOMS] = lab.ports[OURS]
        lab.ports[THEIRS] = lab.ports[THEIR_ROOMS] = theirs.port
        for domain in (OURS, OUR_ROOMS):
            # ejabberd asks the DNS for the server, and the system's own resolver where that is.
            names.serve(domain, lab.ports[OURS], host="localhost")
        environment = {"ROOKERY_S2S__LONGEST_PAUSE_SECONDS": "2", **(settings or {})}
        lab.cluster(OURS, workers=2, environment=environment)
        yield lab, theirs
