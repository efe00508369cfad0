"""How long an import of many accounts takes, from made data of Prosody or of XEP-0227, into a Postgres of its own.

Each account has SCRAM keys, ten contacts, a vCard, two private elements and three messages in its archive::

    python -m tests.measure.moving --users 100000
    python -m tests.measure.moving --users 20000 --kinds xep0227
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rookery.embedded import start_postgres

DOMAIN: Final = "example.org"
CONTACTS: Final = 10
MESSAGES: Final = 3
_STAMP: Final = 1_600_000_000


def _contacts(number: int, users: int) -> Iterator[str]:
    for step in range(1, CONTACTS + 1):
        yield f"user{(number + step * step) % users}"


def prosody(folder: Path, users: int) -> Path:
    """Prosody's folder of data."""
    home = folder / "prosody" / "example%2eorg"
    for store in ("accounts", "roster", "vcard", "private", "archive"):
        (home / store).mkdir(parents=True)
    for number in range(users):
        name = f"user{number}"
        keys = f'["salt"] = "s{number}"; ["stored_key"] = "{number:040x}"; ["server_key"] = "{number + 1:040x}"; ["iteration_count"] = 10000'
        (home / "accounts" / f"{name}.dat").write_text(f"return {{ {keys}; }};")
        items = "".join(
            f'["{one}@{DOMAIN}"] = {{ ["subscription"] = "both"; ["name"] = "{one}"; ["groups"] = {{ ["Friends"] = true }} }}; '
            for one in _contacts(number, users)
        )
        (home / "roster" / f"{name}.dat").write_text(
            f'return {{ [false] = {{ ["version"] = 3; ["pending"] = {{}} }}; {items} }};'
        )
        (home / "vcard" / f"{name}.dat").write_text(
            f'return {{ ["name"] = "vCard"; ["attr"] = {{ ["xmlns"] = "vcard-temp" }}; {{ ["name"] = "FN"; ["attr"] = {{}}; "{name}" }} }};'
        )
        (home / "private" / f"{name}.dat").write_text(
            'return { ["x:urn:x"] = { ["name"] = "x"; ["attr"] = { ["xmlns"] = "urn:x" }; "1" }; ["y:urn:y"] = { ["name"] = "y"; ["attr"] = { ["xmlns"] = "urn:y" }; "2" } };'
        )
        other = next(_contacts(number, users))
        (home / "archive" / f"{name}.list").write_text(
            "".join(
                f'item({{ ["name"] = "message"; ["attr"] = {{ ["from"] = "{name}@{DOMAIN}/y"; ["to"] = "{other}@{DOMAIN}"; ["type"] = "chat" }}; '
                f'["when"] = {_STAMP + turn}; ["with"] = "{other}@{DOMAIN}"; ["key"] = "k{turn}"; {{ ["name"] = "body"; ["attr"] = {{}}; "message {turn} of {name}" }} }});\n'
                for turn in range(MESSAGES)
            )
        )
    return folder / "prosody"


def xep0227(folder: Path, users: int) -> Path:
    """A file of XEP-0227."""
    path = folder / "pie.xml"
    with path.open("w") as out:
        out.write(f"<server-data xmlns='urn:xmpp:pie:0'><host jid='{DOMAIN}'>")
        for number in range(users):
            name = f"user{number}"
            out.write(
                f"<user name='{name}'><scram-credentials xmlns='urn:xmpp:pie:0#scram' mechanism='SCRAM-SHA-1'><iter-count>10000</iter-count>"
                "<salt>c2FsdA==</salt><server-key>MzMzMzMzMzMzMzMzMzMzMzMzMzM=</server-key><stored-key>NDQ0NDQ0NDQ0NDQ0NDQ0NDQ0NDQ=</stored-key></scram-credentials>"
                "<query xmlns='jabber:iq:roster'>"
            )
            out.writelines(
                f"<item jid='{one}@{DOMAIN}' name='{one}' subscription='both'><group>Friends</group></item>"
                for one in _contacts(number, users)
            )
            out.write(f"</query><vCard xmlns='vcard-temp'><FN>{name}</FN></vCard>")
            out.write("<query xmlns='jabber:iq:private'><x xmlns='urn:x'>1</x><y xmlns='urn:y'>2</y></query>")
            out.write("<archive xmlns='urn:xmpp:pie:0#mam'>")
            other = next(_contacts(number, users))
            out.writelines(
                f"<result xmlns='urn:xmpp:mam:2' id='k{turn}'><forwarded xmlns='urn:xmpp:forward:0'><delay xmlns='urn:xmpp:delay' stamp='2020-09-13T12:26:4{turn}Z'/>"
                f"<message xmlns='jabber:client' from='{name}@{DOMAIN}/y' to='{other}@{DOMAIN}' type='chat'><body>message {turn} of {name}</body></message></forwarded></result>"
                for turn in range(MESSAGES)
            )
            out.write("</archive></user>")
        out.write("</host></server-data>")
    return path


MAKERS: Final = {"prosody": prosody, "xep0227": xep0227}


def rookery(*arguments: str) -> str:
    """Run a command; returns what it says. Raises CalledProcessError."""
    done = subprocess.run(
        [sys.executable, "-m", "rookery", *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout + done.stderr


def measure(kind: str, users: int) -> None:
    """Import once into an empty database."""
    # (half a million small files: in memory where that is possible; Postgres on the disk)
    memory = Path("/dev/shm")
    with TemporaryDirectory() as scratch, TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        folder = Path(scratch)
        folder.chmod(0o755)
        source = MAKERS[kind](Path(made), users)
        postgres = start_postgres(folder / "postgres")
        try:
            rookery("migrate", "--database-url", postgres.url)
            rookery("domain", "add", DOMAIN, "--database-url", postgres.url)
            began = time.monotonic()
            said = rookery("import", kind, str(source), "--database-url", postgres.url)
            took = time.monotonic() - began
        finally:
            postgres.stop()
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        print(
            f"{kind}: {users} accounts in {took:.0f} s, {users / took:.0f} a second, peak of the largest process {peak} MiB\n{said}",
            flush=True,
        )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--kinds", default=",".join(MAKERS))
    arguments = parser.parse_args()
    for kind in arguments.kinds.split(","):
        measure(kind, arguments.users)


if __name__ == "__main__":
    main()
