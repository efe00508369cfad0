"""Moving in and out: what other servers have kept becomes records, and records become rows; the way out is the same the other way round.

Readers (`prosody`, `pie`) are pure: bytes to records. One writer (`load`) stores records, one reader (`dump`) makes them of rows, and `pie_out`
writes them down as XEP-0227. Whoever adds another server adds a reader.
"""
