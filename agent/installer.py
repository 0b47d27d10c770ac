"""The installer that the agent carries, so that both are always of one version."""

import pkgutil


def text() -> str:
    """Give ``install.sh``."""
    found = pkgutil.get_data("agent", "install.sh")
    assert found is not None
    return found.decode("ascii")


def main() -> int:
    """Print it."""
    print(text(), end="")
    return 0
