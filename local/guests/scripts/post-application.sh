#!/bin/sh
# Post-script: lets the application go on. Ends only when a write has gone through; fails when none does.
# Argument: the application's control socket; by default the one of this guest.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
exec "${STILLFRAME_PYTHON:-python3}" -S -E "$here/control.py" release "${1:-$STILLFRAME_STATE_DIR/../control.sock}"
