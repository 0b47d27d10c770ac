#!/bin/sh
# Asks a freshly deployed app how it is, and of VMs whether a backup would work; touches nothing.
#   STILLFRAME_URL=https://<app> STILLFRAME_KEY=<a key that opens reading> sh infra/smoke.sh [VM...]
# Needs `make cli`. A new app takes minutes until it answers and its identity's roles are known everywhere: it is
# asked for STILLFRAME_PATIENCE_S (300). Exit codes: those of `stillframe` (docs/cli.md); 3 says that it is not well.
set -eu

stillframe=${STILLFRAME_CLI:-"$(dirname "$0")/../.venv/bin/stillframe"}
left=${STILLFRAME_PATIENCE_S:-300}
pause=${STILLFRAME_PAUSE_S:-10}

while :; do
    code=0
    "$stillframe" health || code=$?
    case $code in
    0) break ;;
    3 | 5 | 6) ;; # not well yet, no answer yet, or its keys are not there yet
    *) exit "$code" ;;
    esac
    if [ "$left" -le 0 ]; then
        echo "smoke: the app is not well: docs/operate.md says what to look at" >&2
        exit "$code"
    fi
    echo "smoke: asking again in $pause s" >&2
    sleep "$pause"
    left=$((left - pause))
done

worst=0
for vm in "$@"; do
    "$stillframe" preflight "$vm" || worst=$?
done
exit "$worst"
