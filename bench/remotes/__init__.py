"""Other domains, played for servers under test: their names, certificates and streams."""
