"""Server side of SASL as pure machines (RFC 6120 section 6, RFC 4616, RFC 5802, RFC 7677)."""
