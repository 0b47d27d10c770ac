"""Which version of the app this is; the agent has its own in ``agent/__init__.py``."""

VERSION = "0.1.0"
