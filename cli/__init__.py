"""The command line ``stillframe``, over the HTTP API alone: it imports nothing of the app."""
