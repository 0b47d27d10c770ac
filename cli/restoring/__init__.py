"""``stillframe restore``: from a recovery point to disks and a VM, by Azure Resource Manager itself."""
