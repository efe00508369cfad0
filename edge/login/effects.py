"""What negotiation waits for and wants done: the phases and effects of `edge.login.negotiation`; `edge.login.login` carries them out."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from rookery.shared.bus.messages import AddKeys, Bound, Credentials, IssueToken, Redeem
from rookery.shared.xeps.captcha import Answer
from rookery.shared.xmpp.errors import StreamError
from rookery.shared.xmpp.xml import Element


class Phase(Enum):
    """What the stream waits for."""

    HEADER = "a stream header"
    FEATURES = "STARTTLS, authentication or registration"
    EXCHANGE = "a SASL response"
    TASK = "a step of a task"
    BINDING = "a resource"
    TLS = "the TLS handshake"
    BOUND = "nothing: the session has begun"
    CLOSED = "nothing: the stream is over"


class Send(NamedTuple):
    """Write these bytes (one message on a WebSocket)."""

    data: bytes


class StartTls(NamedTuple):
    """Send what was queued, forget everything else that came in clear, and begin the handshake (section 5.4.2.3)."""

    domain: str


class Restart(NamedTuple):
    """The stream begins anew (section 4.3.3): what follows goes to a new parser."""


class Admit(NamedTuple):
    """The client is authenticated on this very stream (XEP-0388): what follows may be as large as any stanza."""


class AskCredentials(NamedTuple):
    """Call the account worker; then `credentials`, or `denied`."""

    account: str
    mechanism: str
    #: The id that the client says it has, "" for none.
    agent: str = ""


class CheckPassword(NamedTuple):
    """Compare in a thread; then `checked`."""

    password: str
    credentials: Credentials


class AskLogin(NamedTuple):
    """Call an account worker: does this secret open an account of a domain whose passwords are kept elsewhere? Then `login`, or `denied`."""

    domain: str
    account: str
    mechanism: str
    secret: str
    agent: str = ""


class AskRedeem(NamedTuple):
    """Call the account worker: is this a token of the account? Then `redeemed`, or `denied`."""

    request: Redeem


class AskToken(NamedTuple):
    """Call the account worker for a token of a client that has authenticated; then `issued`."""

    request: IssueToken


class AskKeys(NamedTuple):
    """Call the account worker: keep these keys, too; then `upgraded`."""

    request: AddKeys


class AskRegister(NamedTuple):
    """Call the account worker; then `registered`."""

    account: str
    domain: str
    username: str
    password: str
    email: str
    #: Of the invitation that the stream has shown, "" for none.
    token: str = ""
    puzzle: Answer = Answer()


class AskForm(NamedTuple):
    """Call an account worker for what the form of a registration asks (XEP-0158); then `registering.asked`."""

    domain: str


class AskInvited(NamedTuple):
    """Call the account worker whether this token of an invitation is valid; then `invited`."""

    domain: str
    token: str


class Wait(NamedTuple):
    """Somebody fills in a form: give negotiation so many seconds from now."""

    seconds: float


class AskBind(NamedTuple):
    """Call the router of `account`; then `bound` or `refused`."""

    account: str
    resource: str
    #: What the session shall have from its first moment (`shared.xeps.registry`, Forward.marks).
    marks: tuple[str, ...] = ()
    #: `<enable/>` of stream management that came with the request.
    enable: Element | None = None


class AskResume(NamedTuple):
    """Call the router of `account`; then `resumed`, `not_resumed` or `fail`."""

    account: str
    token: bytes
    h: int


class AuthEnded(NamedTuple):
    """A SASL exchange ended: for limits, metrics and the log. `result` is "success" or the failure's condition.

    `account` is who failed, "" when the client has not said.
    """

    mechanism: str
    result: str
    account: str = ""
    #: The id that a client said it has whose authentication succeeded, "" for none.
    agent: str = ""


class Begin(NamedTuple):
    """The resource is bound: the session begins."""

    bound: Bound
    lang: str
    #: What the client said of itself with the request (XEP-0352), None when nothing.
    active: bool | None = None


class Close(NamedTuple):
    """The stream is over; with `error`, it ends with that stream error. Everything was written."""

    error: StreamError | None


Effect = (
    Send
    | StartTls
    | Restart
    | Admit
    | AskCredentials
    | CheckPassword
    | AskLogin
    | AskRedeem
    | AskToken
    | AskKeys
    | AskRegister
    | AskInvited
    | AskForm
    | Wait
    | AskBind
    | AskResume
    | AuthEnded
    | Begin
    | Close
)
