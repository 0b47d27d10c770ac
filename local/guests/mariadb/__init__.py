"""MariaDB in a guest: data directory, redo log and a table's space on three disks, under write load."""
