"""XEP-0124: Bidirectional-streams Over Synchronous HTTP (BOSH)."""

from __future__ import annotations

from typing import Annotated

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep


class Options(Section, frozen=True):
    """BOSH at `/http-bind` of the HTTP port (XEP-0124, XEP-0206). Which web pages may use it: `edge.websocket_origins`."""

    enabled: Annotated[bool, about("Serve it, and say so in host-meta")] = True
    url: Annotated[
        str, about("Public URL of it, for host-meta (XEP-0156); empty takes it from the request")
    ] = ""
    wait_seconds: Annotated[
        int, about("How long a request may wait for something to say", "seconds", ge=1, le=600)
    ] = 60
    hold_requests: Annotated[
        int, about("Requests of a session that may wait at once", "requests", ge=1, le=8)
    ] = 2
    inactivity_seconds: Annotated[
        int, about("A session without a request is over after this", "seconds", ge=5, le=600)
    ] = 60
    polling_seconds: Annotated[
        int, about("How often a client that polls may ask in vain", "seconds", ge=1, le=60)
    ] = 5
    pause_seconds: Annotated[
        int, about("Longest pause that a client may ask for; 0 for none", "seconds", ge=0, le=3600)
    ] = 120


XEP = Xep(
    124,
    "1.11.2",
    "complete",
    options=Options,
    implemented_in="edge",
    note="Without the optional parts: several streams in a session, compression, other character sets. Script syntax is refused.",
)
