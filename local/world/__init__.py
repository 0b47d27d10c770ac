"""The world of the local stack: real disks, guests that write to them, and restores that are checked."""
