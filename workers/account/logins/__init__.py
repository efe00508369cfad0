"""Who may log in to a domain whose passwords are kept elsewhere: back ends (OpenID Connect, an HTTP service, LDAP), and how they are asked.

`settings` is what an operator says of a domain; `oidc`, `http_service` and `directory` are the back ends; `checking` asks them, with limits,
time-outs and a `breaker`, and makes accounts. Passwords and tokens pass through; none is stored or logged.
"""
