"""The loop load -> advance -> save -> carry out, one handler per effect, and the use cases."""
