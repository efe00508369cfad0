"""The `rookery` command."""


def main() -> None:
    """Run the command line."""
