"""XEP-0363: HTTP File Upload."""

from __future__ import annotations

import re
from typing import Annotated, Final

from rookery.shared.options import Section, about
from rookery.shared.xeps._xep import Xep

NS: Final = "urn:xmpp:http:upload:0"
PURPOSE: Final = "urn:xmpp:http:upload:purpose:0"
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX: Final = re.compile(r"[A-Za-z0-9/._-]*")
_ENDPOINT: Final = re.compile(
    r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/?|https?://\[[0-9a-fA-F:]+\](:[0-9]{1,5})?/?"
)


class Options(Section, frozen=True):
    """Files that clients put over HTTP: where they lie, who may put what, how long they stay."""

    directory: Annotated[
        str,
        about(
            "Folder of the files, which all upload workers share; empty: none are taken, but for `rookery up`"
        ),
    ] = ""
    s3_bucket: Annotated[
        str,
        about("Bucket of an S3-compatible store for the files, in place of a folder; empty: there is none"),
    ] = ""
    s3_endpoint: Annotated[str, about("URL of the store, such as https://s3.eu-central-1.amazonaws.com")] = ""
    s3_public_endpoint: Annotated[
        str, about("URL of the store for clients, where it has another name for them; empty: `s3_endpoint`")
    ] = ""
    s3_region: Annotated[str, about("Region that requests to the store are signed for")] = "us-east-1"
    s3_access_key_file: Annotated[str, about("File with the access key id for the store")] = ""
    s3_secret_key_file: Annotated[str, about("File with the secret access key for the store")] = ""
    s3_ca_file: Annotated[
        str, about("Authorities that may certify the store; empty: those of the system")
    ] = ""
    s3_prefix: Annotated[str, about("What the names of objects begin with")] = ""
    s3_path_style: Annotated[
        bool,
        about("Whether the bucket is the first part of the path; else it is the first part of the host name"),
    ] = True
    s3_direct: Annotated[
        bool,
        about(
            "Clients put and get files at the store itself, by signed URLs; else all bytes pass through upload workers"
        ),
    ] = False
    s3_get_seconds: Annotated[
        int, about("A signed URL to get a file at the store", "seconds", ge=10, le=604_800)
    ] = 300
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
    sweep_seconds: Annotated[
        float, about("How often files that are over, or whose account is gone, are removed", "seconds", ge=1)
    ] = 300.0
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

    @property
    def stores(self) -> bool:
        """Whether there is somewhere for files to be."""
        return bool(self.directory or self.s3_bucket)

    def __post_init__(self) -> None:
        """A store has all that it needs, and there is one of them only."""
        if not self.s3_bucket:
            return
        if self.directory:
            raise ValueError("directory and s3_bucket: files are in a folder or in a bucket, not in both")
        if not _BUCKET.fullmatch(self.s3_bucket):
            raise ValueError("s3_bucket: 3 to 63 lower-case letters, digits, points and hyphens")
        if not _PREFIX.fullmatch(self.s3_prefix):
            raise ValueError("s3_prefix: letters, digits, and / . _ - only")
        for name in ("s3_access_key_file", "s3_secret_key_file"):
            if not getattr(self, name):
                raise ValueError(f"{name} is missing: keys of the store are in files")
        public = self.s3_public_endpoint or self.s3_endpoint
        for name, url in (("s3_endpoint", self.s3_endpoint), ("s3_public_endpoint", public)):
            if not _ENDPOINT.fullmatch(url):
                raise ValueError(
                    f"{name}: https://HOST or http://HOST, with a port where needed, and no path"
                )
        if self.s3_direct and not (public.startswith("https://") or self.plaintext):
            raise ValueError("s3_direct: clients put and get over https only (XEP-0363 section 4)")


XEP = Xep(
    363,
    "1.2.0",
    "complete",
    implemented_in="workers.upload",
    note="an own domain, `upload.DOMAIN`; purposes message, profile, ephemeral, and permanent by a setting",
    options=Options,
)
