"""The two servers of a run: each with clients of its own, what faults may touch, and the cables between them."""

from __future__ import annotations

import random
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final
from xml.etree.ElementTree import Element

from tests.cluster.chaos.abroad.witness import MODULE, Witness
from tests.cluster.chaos.cables import Cable
from tests.cluster.chaos.client import Chain, Client
from tests.cluster.chaos.faults import Stage
from tests.cluster.chaos.ledger import Ledger
from tests.cluster.chaos.loop import Loop
from tests.cluster.chaos.rooms import RoomBook
from tests.cluster.chaos.world import World
from tests.cluster.federated import Lab
from tests.cluster.harness import Cluster
from tests.contracts.s2s_peers import Prosody, prosody

from rookery.bench.remotes.dns import Names

OURS: Final = "one.example"
THEIRS: Final = "two.example"
_PROSODY: Final = """
s2s_secure_auth = true
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
"""


class PeerServer:
    """The Prosody of a run, or what is left of it."""

    def __init__(self, lab: Lab, made: Prosody, accounts: Sequence[tuple[str, str]], *, bidi: bool) -> None:
        self._modules = (MODULE, "s2s_bidi") if bidi else (MODULE,)
        self._ca = lab.authority.ca_file
        self._made = made
        self.witness = Witness(made.folder)
        self.port = made.c2s
        self.log = made.folder / "prosody.log"
        self._running = ExitStack()
        #: When it was killed, on the clock of whoever did.
        self.killed: list[float] = []
        folder = made.folder / "data" / THEIRS.replace(".", "%2e") / "accounts"
        folder.mkdir(parents=True)
        for name, password in accounts:
            (folder / f"{name}.dat").write_text(f'return {{ ["password"] = "{password}" }};\n')
        issued = lab.authority.directory / THEIRS
        (made.folder / "chain.pem").write_bytes((issued / "fullchain.pem").read_bytes())
        (made.folder / "key.pem").write_bytes((issued / "privkey.pem").read_bytes())
        for path in (lab.authority.ca_file, lab.authority.ca_file.parent):
            path.chmod(0o755)

    def start(self) -> None:
        """Run it with the data that it has."""
        more = _PROSODY + self.witness.options
        self._running.enter_context(prosody(self._made, self._ca, modules=self._modules, more=more))

    def kill(self, now: float) -> None:
        """SIGKILL; what is in its folder stays."""
        self.killed.append(now)
        assert self._made.process is not None
        self._made.process.kill()
        self._made.process.wait()
        self._running.close()

    def ready(self) -> bool:
        """Whether clients can connect."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.2).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        """The end."""
        self._running.close()


class Half(Stage):
    """What a fault may touch at one of the servers: its processes, its clients, the cables."""

    def __init__(
        self,
        cluster: Cluster,
        loop: Loop,
        rng: random.Random,
        clients: Sequence[Client],
        say: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> None:
        super().__init__(cluster, loop, rng, clients, say, complain)
        self.domain = OURS
        self.cables: Sequence[Cable] = ()
        self.other: PeerServer | None = None
        self.first = self

    def some(self, share: float) -> list[Client]:
        """Some of the clients of this server."""
        return [client for client in super().some(min(1.0, 2 * share)) if client.domain == self.domain][
            : max(1, round(share * len(self.clients)))
        ]

    def hold(self, up: bool, down: bool) -> None:
        """Nothing passes: whoever is at the other end of the cables."""
        for cable in self.cables:
            pids = {-1, *self.first.pids("s2s"), *self.pids("s2s")}
            cable.hold(pids, up=up, down=down)

    def go_on(self) -> None:
        """Nothing stays stopped or held."""
        super().go_on()
        for cable in self.cables:
            cable.let_go()


class Side:
    """The second server, as its clients see it; implements `world.World`. `ports`: where they may connect now."""

    def __init__(self, world: World, ports: Callable[[], list[int]], cuts: Callable[[], list[int]]) -> None:
        self._world = world
        self._ports = ports
        self._cuts = cuts
        self.loop: Loop = world.loop
        self.ledger: Ledger = world.ledger
        self.rooms: RoomBook = world.rooms
        self.rng: random.Random = world.rng
        self.managed = world.managed

    def port(self) -> int:
        """Some port."""
        ports = self._ports()
        return self.rng.choice(ports) if ports else 0

    def cut(self) -> int:
        """After how many bytes sent the next attempt is cut."""
        cuts = self._cuts()
        return cuts.pop(0) if cuts else 0

    def resumed(self, client: Client, seconds: float) -> None:
        """A stream was resumed."""
        self._world.resumed(client, seconds)

    def chain_of(self, client: int) -> int:
        """The session that this client has now."""
        return self._world.chain_of(client)


class Foreigner(Client):
    """A user of a Prosody. What it receives is counted by the witness, before Prosody has it in memory only."""

    def _message(self, chain: Chain, element: Element) -> None:
        if element.get("type") == "error":
            super()._message(chain, element)

    def ask(self) -> None:
        """Nothing: Prosody does not answer for a server that does not."""


def names_of(port: int) -> Names:
    """A DNS server that knows where our server is."""
    names = Names()
    names.serve(OURS, port)
    return names
