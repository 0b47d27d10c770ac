#!/bin/sh
# Pre-script: makes the application hold still. Ends only when no write is in flight and all are on the disks;
# fails when the application is not running. Argument: the application's control socket; by default the
# one of this guest.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
exec "${STILLFRAME_PYTHON:-python3}" -S -E "$here/control.py" hold "${1:-$STILLFRAME_STATE_DIR/../control.sock}"
