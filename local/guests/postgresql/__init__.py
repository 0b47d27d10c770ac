"""PostgreSQL in a guest: cluster, write-ahead log and a tablespace on three disks, under write load."""
