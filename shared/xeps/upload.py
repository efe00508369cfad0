"""XEP-0363: HTTP File Upload."""

from __future__ import annotations

from typing import Annotated, Final

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep

NS: Final = "urn:xmpp:http:upload:0"
PURPOSE: Final = "urn:xmpp:http:upload:purpose:0"


class Options(Section, frozen=True):
    """Files that clients put over HTTP: where they lie, who may put what, how long they stay."""

    directory: Annotated[
        str,
        about(
            "Folder of the files, which all upload workers share; empty: none are taken, but for `rookery up`"
        ),
    ] = ""
    host: Annotated[tuple[str, ...], about("IP addresses to listen on")] = (
        "0.0.0.0",  # noqa: S104  a server listens; limits stand at the door
        "::",
    )
    port: Annotated[int, about("Port for HTTPS; 0 picks a free one", ge=0, le=65535)] = 5281
    url: Annotated[
        str,
        about("Public URL before the names of files, {domain} for the service; empty: https://SERVICE:PORT"),
    ] = ""
    plaintext: Annotated[
        bool, about("Accept HTTP without TLS, for a proxy in front that ends TLS; never open to clients")
    ] = False
    file_bytes: Annotated[int, about("Size of a file", "bytes", ge=1)] = 104_857_600
    day_bytes: Annotated[int, about("Bytes of one account a day (UTC)", "bytes", ge=1)] = 1_073_741_824
    day_files: Annotated[int, about("Files of one account a day (UTC)", "files", ge=1)] = 500
    slot_seconds: Annotated[
        int, about("From the slot to the beginning of the PUT", "seconds", ge=60, le=86_400)
    ] = 600
    put_seconds: Annotated[float, about("A whole PUT", "seconds", ge=1)] = 3600.0
    stall_seconds: Annotated[
        float, about("A client that sends or takes nothing is closed after this", "seconds", ge=1)
    ] = 30.0
    connections: Annotated[int, about("Open connections of one process", "connections", ge=1)] = 512
    days: Annotated[int, about("Files of messages stay so long", "days", ge=1, le=36_500)] = 30
    profile_days: Annotated[
        int, about("Files of profiles (avatars) stay so long", "days", ge=1, le=36_500)
    ] = 3650
    profile_bytes: Annotated[int, about("Size of a file of a profile", "bytes", ge=1)] = 4_194_304
    permanent: Annotated[bool, about("Whether clients may ask for files that stay with the account")] = False
    inline_types: Annotated[
        tuple[str, ...], about("Types that a browser shows; everything else is offered for saving")
    ] = (
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "audio/mpeg",
        "audio/ogg",
        "audio/mp4",
        "audio/webm",
        "video/mp4",
        "video/webm",
        "text/plain",
    )
    origins: Annotated[tuple[str, ...], about('Origins of web clients that may put and get, "*" for any')] = (
        "*",
    )


XEP = Xep(
    363,
    "1.2.0",
    "complete",
    implemented_in="workers.upload",
    note="an own domain, `upload.DOMAIN`; purposes message, profile, ephemeral, and permanent by a setting",
    options=Options,
)
