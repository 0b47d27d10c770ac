"""The proof by restoring: real runs, each recovery point restored and checked, and counted."""
