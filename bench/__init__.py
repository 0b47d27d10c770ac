"""What Stillframe costs: freeze window and its floor, added time, storage requests, invocations."""
