"""The whole of Stillframe on one machine: storage, a simulated Azure, guests, and the app."""
