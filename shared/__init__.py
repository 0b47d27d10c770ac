"""Stillframe, the application: what Azure Functions runs."""
