"""Components (XEP-0114): services of others that connect here and answer for a domain of their own.

The holder of a component's domain has its queue, as for other servers (`workers/s2s`). Its connections may be at any process of this kind:
`door` and `connection` are what they come in by, `lines` what the holder sees of them, `spread` which stanza goes on which of them.
"""
