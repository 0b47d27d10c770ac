"""The guest agent: makes a VM's applications hold still and go on, by order of the app.

Standard library only, in the syntax of Python 3.6, since a guest's own Python runs it.
"""

VERSION = "0.1.0"
