"""Who may see whom (RFC 6121 section 4): spreads broadcasts to subscribers, answers probes, guards what only subscribers may ask.

`rules` decides from the subscriptions of an account, `cache` keeps those of accounts that were busy lately, `checks` reads many at
once for the probes of a login, `store` has the statements, `service` puts it together. Presence itself is kept by routers.

It may read rosters and block lists. It must not write anything: changes come from the roster worker as `RosterChanged`.
"""
