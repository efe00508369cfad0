"""Attacks on a whole cluster: bytes in, the expected error out, and nobody else notices."""
