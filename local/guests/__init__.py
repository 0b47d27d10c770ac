"""What runs inside the guests of the local stack: an application with data on several disks, its scripts."""
