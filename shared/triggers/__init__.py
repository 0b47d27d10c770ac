"""What Azure Functions calls. Each trigger decodes, calls one use case, and encodes."""
