"""What the operator wants: guest processing, snapshots, schedules. Pure, standard library only."""
