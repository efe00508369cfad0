"""Recordings of what real clients send: `rookery bench record` listens in between, `bench replay` does it again, faster."""
