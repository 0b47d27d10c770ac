"""Removing what nobody needs any more: old runs and all that was stored for them.

A pass goes through rooms, one kind of things each (``passes.py``). A room is cleaned a page at a time, and in
an order in which a crash leaves nothing behind that the next pass does not find. Doing it again is harmless.
"""
