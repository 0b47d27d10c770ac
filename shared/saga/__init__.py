"""The saga: guest processing and snapshot of one VM in one run, as a pure state machine.

No Azure import, no clock, no I/O, no randomness. Times are ms since the epoch, passed in.
"""
