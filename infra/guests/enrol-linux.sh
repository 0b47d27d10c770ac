#!/bin/sh
# Makes the agent of a Linux guest resident; run as root, with the bootstrap in STILLFRAME_BOOTSTRAP.
# Exit codes: 3 no agent is installed, 4 no Python; those of the installer; 1 says what would stop the agent.
set -eu
agent=/opt/stillframe/agent.pyz
for python in /usr/bin/python3 /usr/libexec/platform-python python3 none; do
    if command -v "$python" >/dev/null 2>&1; then break; fi
done
[ "$python" != none ] || { echo "stillframe: no Python 3" >&2; exit 4; }
[ -f "$agent" ] || { echo "stillframe: no agent at $agent: install the VM Application first" >&2; exit 3; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" "$agent" installer >"$folder/install.sh"
sh "$folder/install.sh" install "$(readlink -f "$agent")"
unset STILLFRAME_BOOTSTRAP
"$python" "$agent" check
