"""What the pages of an edge share: one look, German or English, headers under which nothing runs and nothing comes from elsewhere."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}"
    "h1{font-size:1.6rem;line-height:1.2}a{color:#0b57d0}"
    ".go{display:inline-block;padding:.7rem 1.2rem;border-radius:.4rem;background:#0b57d0;color:#fff;text-decoration:none;font-weight:600}"
    ".go:focus-visible,a:focus-visible,input:focus-visible{outline:3px solid #f5a623;outline-offset:2px}"
    "label{display:block;margin:.9rem 0 .2rem;font-weight:600}"
    "input{font:inherit;box-sizing:border-box;width:100%;padding:.6rem;border:1px solid #6b6b6b;border-radius:.4rem;color:inherit;background:inherit}"
    "input[type=checkbox]{width:1.2rem;height:1.2rem;margin-right:.6rem;vertical-align:-.15rem}"
    "button.go{font:inherit;font-weight:600;border:0;margin-top:1.2rem;cursor:pointer}.grave{background:#b3261e}"
    "section{border-top:1px solid #bbb;margin-top:2rem}.said{border-left:.3rem solid #0b57d0;padding:.3rem .8rem}.wrong{border-color:#b3261e}"
    "svg{width:14rem;height:14rem;max-width:100%}code{overflow-wrap:anywhere}"
    "@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}a{color:#8ab4f8}svg{background:#fff}.go{background:#8ab4f8;color:#111}"
    ".grave{background:#f2b8b5}input{border-color:#999}}"
)
_STYLE_HASH: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()


def _headers(forms: str) -> tuple[tuple[str, str], ...]:
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action {forms}; frame-ancestors 'none'"
    return (
        ("Content-Security-Policy", policy),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
        ("Cache-Control", "no-store"),
        ("Vary", "Accept-Language"),
        ("X-Robots-Tag", "noindex"),
    )


#: A token in the address is a secret: it leaves the page only in the link that a client opens.
HEADERS: Final = _headers("'none'")
#: Of pages that ask something.
FORM_HEADERS: Final = _headers("'self'")


def language(accept_language: str) -> str:
    """ "de" or "en", whichever a browser prefers (RFC 9110 section 12.5.4)."""
    best, found = 0.0, "en"
    for part in accept_language.split(",")[:20]:
        tag, _, weight = part.partition(";")
        try:
            quality = float(weight.partition("q=")[2] or 1) if weight else 1.0
        except ValueError:
            continue
        name = tag.strip().lower().partition("-")[0]
        if name in ("de", "en") and quality > best:
            best, found = quality, name
    return found


def document(lang: str, title: str, body: str) -> bytes:
    """A page; `title` and `body` are HTML already."""
    return (
        f'<!DOCTYPE html>\n<html lang="{lang}"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<style>{_STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>\n"
    ).encode()
