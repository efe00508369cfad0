"""Logins: connect, TLS, SASL, bind, roster, presence; then the connection ends and the next begins.

A storm lets everybody in at once, and all stay. Keys of SCRAM are derived before the load.
"""

from __future__ import annotations

from rookery.bench.driver.client import Client
from rookery.bench.driver.script import Script, Send, ask
from rookery.bench.scenarios._rounds import Rounds
from rookery.shared.xmpp import ns


class Login(Rounds):
    """Whole logins, and their parts as operations of their own."""

    operation = "login"
    summary = "Connect, TLS, auth, bind, roster, presence: at a rate, closed loop, or a storm."
    online = False
    parts = ("connect", "tls", "auth", "bind")

    def at_once(self) -> int:
        """As many as the plan says, shared by the processes."""
        return max(1, self.plan.concurrency // self.driver.order.of)

    def one(self, client: Client, intended: int) -> None:
        """Log in."""
        recorder = self.driver.recorder
        client.sink = self.driver.passive

        def over(client: Client, condition: str) -> None:
            if self._window.first <= intended < self._window.last:
                for operation, spent in client.marks.items():
                    recorder.latency(operation).append(spent)
            if condition:
                client.close()
            elif self.plan.storm:
                recorder.connected += 1
            else:
                client.leave()
            self.ended(client, condition, intended)

        self.driver.start(client, self._script(client), over)

    def _script(self, client: Client) -> Script:
        yield from self.driver.login_script(client)
        yield from ask("roster", "get", f"<query xmlns='{ns.ROSTER}'/>")
        yield Send(b"<presence%b/>" % client.xmlns)


SCENARIO = Login
