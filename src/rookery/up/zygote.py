"""The zygote: a process that has imported everything and makes children by forking itself.

It does so because imports are most of a child's start, and because forked processes share the memory of what they imported.
It has one thread and never runs an event loop, so forking is safe; the parent, which runs trio, asks it over a socket.

Messages are JSON, one a packet (SOCK_SEQPACKET). To the zygote: `{"do": "start", "child": {...}}`, `{"do": "signal", "pid",
"signal"}`. From it: `{"say": "started", "name", "pid"}`, `{"say": "ended", "name", "pid", "code"}`. Children write to the same socket: `{"say":
"hello" | "ready", "name", "pid", ...}`. When the parent dies the zygote is killed, and when the zygote dies its children are.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any, Final, NoReturn

_PACKET: Final = 262_144
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_libc: Final = ctypes.CDLL(None) if sys.platform == "linux" else None

Report = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One process: its name, the kinds it hosts and its configuration as TOML (which has secrets: never printed)."""

    name: str
    kinds: tuple[str, ...]
    config: str


#: Runs one child until it has to end; what it raises or passes to `sys.exit` becomes the exit code.
Target = Callable[[ChildSpec, Report], None]


def die_with_parent(parent: int, name: str) -> None:
    """Be killed when the parent is (checked, since it may be gone already); show `name` in process lists. Linux only."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        _libc.prctl(_PR_SET_NAME, name[:15].encode(), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def fork_zygote(target: Target) -> tuple[int, socket.socket]:
    """Fork the zygote from this process, which must have only one thread; returns its pid and our end of the socket."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    gc.collect()
    gc.freeze()  # what exists now stays out of the collector, so its pages stay shared
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _become_zygote(parent)
        _serve(theirs, target)
    theirs.close()
    return pid, ours


def main() -> None:
    """`python -m rookery.up.zygote FD PARENT MODULE:FUNCTION`: take the place of a zygote that died."""
    theirs = socket.socket(fileno=int(sys.argv[1]))
    module, _, function = sys.argv[3].partition(":")
    target: Target = getattr(import_module(module), function)
    gc.collect()
    gc.freeze()
    _become_zygote(int(sys.argv[2]))
    _serve(theirs, target)


def _become_zygote(parent: int) -> None:
    die_with_parent(parent, "rookery-zygote")
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)  # Ctrl-C reaches only the parent, which stops us in order
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _serve(sock: socket.socket, target: Target) -> NoReturn:
    wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    children: dict[int, str] = {}
    selector = selectors.DefaultSelector()
    selector.register(sock, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sock:
                packet = sock.recv(_PACKET)
                if not packet:
                    os._exit(0)
                _obey(json.loads(packet), sock, children, target, (selector, wake_read, wake_write))
            else:
                os.read(wake_read, 4096)
        _reap(sock, children)


def _obey(
    order: dict[str, Any],
    sock: socket.socket,
    children: dict[int, str],
    target: Target,
    inherited: tuple[selectors.DefaultSelector, int, int],
) -> None:
    if order["do"] == "signal":
        if order["pid"] in children:  # not reaped yet, so the number is still this child's
            os.kill(order["pid"], order["signal"])
        return
    child = order["child"]
    spec = ChildSpec(child["name"], tuple(child["kinds"]), child["config"])
    zygote = os.getpid()
    pid = os.fork()
    if pid == 0:
        selector, *pipe = inherited
        selector.close()
        _run_child(spec, sock, zygote, pipe, target)
    children[pid] = spec.name
    _say(sock, {"say": "started", "name": spec.name, "pid": pid})


def _run_child(
    spec: ChildSpec, sock: socket.socket, zygote: int, pipe: list[int], target: Target
) -> NoReturn:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for fd in pipe:
            os.close(fd)
        die_with_parent(zygote, f"rookery-{spec.name}")
        target(spec, lambda message: _say(sock, {**message, "name": spec.name, "pid": os.getpid()}))
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _reap(sock: socket.socket, children: dict[int, str]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        _say(
            sock,
            {
                "say": "ended",
                "name": children.pop(pid),
                "pid": pid,
                "code": os.waitstatus_to_exitcode(status),
            },
        )


def _say(sock: socket.socket, message: Mapping[str, Any]) -> None:
    try:
        sock.send(json.dumps(message).encode())
    except (BrokenPipeError, ConnectionResetError):
        os._exit(1)


def start_order(spec: ChildSpec) -> bytes:
    """The packet that asks for a child."""
    return json.dumps({"do": "start", "child": asdict(spec)}).encode()


def signal_order(pid: int, number: int) -> bytes:
    """The packet that asks to signal a child."""
    return json.dumps({"do": "signal", "pid": pid, "signal": number}).encode()


if __name__ == "__main__":
    main()
