"""Mutating fuzzers; each runs as a script (`python -m tests.fuzz.streams --count 1000000`) and shortly in the test suite."""
