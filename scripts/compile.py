"""Compiles the message path with mypyc: the same sources, for this interpreter, into `build/compiled/`.

`python scripts/compile.py [--possible]`, with the Python of the environment that Rookery is installed in; `--possible` only tells
whether it can be done here (a C compiler and Python's headers are needed). Nothing depends on it: without, Python runs the sources. How
compiled modules are found, and when they are not used, is told in `src/rookery/_compiled.py`.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

#: What runs for each stanza. Left out on purpose: `bus.messages` (NamedTuples gain nothing, and lose the annotations that readers
#: are made from), `bus.nats` (except*), and shells that work once for each batch or connection.
MODULES = """
    shared: bucket
    shared.xmpp: body errors events header jid longtag names parse reader stanza stream xml
    shared.bus: api batch calls core fanout links moves parking pump wire
    shared.cluster: addresses map parts
    shared.custody: custodian inflight kept successors told_nodes
    shared.net: addresses channel handshakes hello http limits reactor stages timers transport
    shared.observe: exchange requests
    shared.store: ids rows
    edge: context counters
    edge.bosh: hub machine terms transport wrapper
    edge.client: connection deadlines inbox limits
    edge.door: door tls
    edge.login: answering asking authentication binding effects exchange features framing inline login negotiation registering stream styles upgrading
    edge.sessions: acks asked attachments early endings line mirror open_iqs recent_messages session streams successors surroundings table
    edge.sessions.management: machine manager
    router: account_cache core counters heard_uids partition pushing recent_uids rules service
    router.accounts: account answerable edge_note flush kept postponed resources resumable session
    router.delivery: carbons copies fanout forged_marks from_workers presence rooms route submit
    router.keeping: flushes rows
    router.sessions: binding client_state hibernation resume
    workers.muc: live packed part policy queue rooms shell speaker uids
    workers.muc.store: writer
    workers.muc.room: asking cleaning entering entrance evolve history leaving nicks presences render room speaking state
"""


def names() -> list[str]:
    """The modules, as Python imports them."""
    found = []
    for line in MODULES.strip().splitlines():
        package, _, modules = line.strip().partition(":")
        found += [f"rookery.{package}.{module}" for module in modules.split()]
    return found


def obstacle() -> str:
    """Why nothing can be compiled here; empty when it can."""
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler ({compiler})"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "Python's headers are not installed"
    return ""


def compile_all(target: Path) -> None:
    """Compile into a new directory beside `target`, then take its place: processes that run keep what they have."""
    os.environ.setdefault("CFLAGS", "-O2 -g0")
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    from rookery import _compiled

    fingerprint = _compiled.fingerprint()
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        os.chdir(ROOT / "src")
        extensions = mypycify(
            [
                "--config-file",
                str(ROOT / "pyproject.toml"),
                *(name.replace(".", "/") + ".py" for name in names()),
            ],
            opt_level="2",
            debug_level="0",
            target_dir=str(work / "c"),
            group_name="rookery",
        )
        command = build_ext(Distribution({"name": "rookery", "ext_modules": extensions}))
        command.build_lib, command.build_temp = str(work), str(work / "c")
        command.ensure_finalized()
        command.run()
        shutil.rmtree(work / "c")
        modules = {each.name: command.get_ext_filename(each.name) for each in extensions}
        manifest = {"python": _compiled.interpreter(), "modules": modules, "sources": fingerprint}
        (work / "manifest.json").write_text(json.dumps(manifest, indent=1))
        work.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 when it was done (or can be done), 1 when not."""
    if problem := obstacle():
        sys.stderr.write(f"not compiled: {problem}; Rookery runs as plain Python, which costs more CPU\n")
        return 1
    if "--possible" not in arguments:
        os.environ["ROOKERY_COMPILED"] = "0"
        from rookery import _compiled

        compile_all(_compiled.directory())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
