"""Black-box rows of the attack catalogue: bytes in, the expected error out, and nobody else notices."""
