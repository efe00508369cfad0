"""Streams with other servers (RFC 6120): finding them, TLS, who they are, and one stream's stanzas and acknowledgements.

Pure machines: `initiating`, `receiving` (one stream before and after authentication), `management` (what is acknowledged), `dialback`,
`names`, `records`, `policies`. Shells: `finding` (DNS), `reaching` (connections), `stream`, `outgoing`, `incoming`, `verifying`.
`streams.Streams` joins them; `api` is what the rest of the worker sees. Knows nothing of queues, rows, the bus or who serves an address.
"""
