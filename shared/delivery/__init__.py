"""Posting notices to webhooks: which addresses, which signature, which answer."""
