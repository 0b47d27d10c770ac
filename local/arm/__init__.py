"""A stand-in for Azure Resource Manager's compute provider, for one machine without Azure.

The unmodified azure-mgmt-compute client talks to it: virtual machines, managed disks, incremental snapshots,
restore points, managed run commands and their long-running operations. Its disks and guests are whatever
backends it is given (`disks.DiskBackend`, `guests.GuestBackend`), so a snapshot can be a real one.

What is known of the service only by documentation, or not at all, is marked "assumed" where it is decided.
"""
