#!/bin/sh
# Installs, upgrades and removes Stillframe's guest agent on Linux.
#   sh install.sh install FILE   FILE is agent.pyz. A bootstrap in STILLFRAME_BOOTSTRAP is enrolled: the agent is
#                                then resident, started at boot by systemd. Without one, run commands start it.
#   sh install.sh uninstall      lets go first, then removes all that was made here
# Exit codes: 2 usage, 4 no Python, 5 not the agent, 6 the bootstrap was refused, 7 an agent does not end.
set -eu
umask 022

home=/opt/stillframe
etc=/etc/stillframe
state=/run/stillframe
service=stillframe-agent.service
unit=/etc/systemd/system/$service

fail() {
    echo "stillframe: $2" >&2
    exit "$1"
}

find_python() {
    # platform-python is the one that RHEL 8 keeps for its own tools, where no python3 is on PATH.
    for name in /usr/bin/python3 /usr/libexec/platform-python python3; do
        found=$(command -v "$name" 2>/dev/null) || continue
        if "$found" -c 'import sys; sys.exit(sys.version_info < (3, 6))' 2>/dev/null; then
            echo "$found"
            return
        fi
    done
    fail 4 "no Python 3.6 or newer found: install the distribution's python3"
}

# Whether any process was started with this text in its command line; grep reads it unseen from its input.
in_use() {
    # shellcheck disable=SC2062 # what follows are the files to look through
    printf '%s' "$1" | grep -q -a -s -F -f - /proc/[0-9]*/cmdline
}

with_systemd() {
    command -v systemctl >/dev/null 2>&1 && [ -d /run/systemd/system ]
}

write_unit() {
    cat >"$unit.new" <<UNIT
[Unit]
Description=Stillframe guest agent
After=network.target
StartLimitIntervalSec=0

[Service]
# The version that is installed now: an upgrade replaces the link, and this agent ends once it holds nothing.
ExecStart=/bin/sh -c 'exec $1 "\$\$(readlink -f $home/agent.pyz)" run --resident'
Restart=always
RestartSec=1
# Only the agent gets the signal. Its dead-man must outlive it, even if it is killed, until all is let go.
KillMode=process
# It lets go first; a post-script may take its time.
TimeoutStopSec=660
OOMPolicy=continue
RuntimeDirectory=stillframe
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
UMask=0077
# The key is in its memory: no core file.
LimitCORE=0
LimitMEMLOCK=infinity
# No mount namespace (ProtectSystem=, PrivateTmp=, ...): it freezes the guest's own filesystems, and scripts need
# to see the guest as it is. No NoNewPrivileges=: scripts that run as a database's user may need sudo.
# SYS_ADMIN freezes, IPC_LOCK locks memory, SETUID and SETGID run scripts as others, KILL and SYS_PTRACE find and
# end their processes, the DAC ones open every mount point, MKNOD and SYS_NICE are for LVM snapshots.
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_IPC_LOCK CAP_SETUID CAP_SETGID CAP_KILL CAP_SYS_PTRACE CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_CHOWN CAP_FOWNER CAP_FSETID CAP_MKNOD CAP_SYS_NICE CAP_SYS_RESOURCE CAP_AUDIT_WRITE
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
LockPersonality=yes
RestrictRealtime=yes
KeyringMode=private

[Install]
WantedBy=multi-user.target
UNIT
    mv -f "$unit.new" "$unit"
}

example() {
    cat <<'CONF'
# What this guest's administrator settles; no command of the app can change it. Lines without # count.
#
# [scripts]
# folders = /etc/stillframe/scripts
# delivered = yes
# run_as_allowed = root, postgres
CONF
}

install_agent() {
    python=$(find_python)
    "$python" "$1" --version >/dev/null 2>&1 || fail 5 "$1 is not the agent, or does not run with $python"
    sum=$("$python" -c 'import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest()[:16])' "$1")
    new=$home/agent-$sum.pyz
    mkdir -p "$home" "$etc" "$etc/scripts"
    cp "$1" "$new.new"
    chmod 755 "$new.new"
    mv -f "$new.new" "$new"
    ln -sf "$new" "$home/agent.pyz.new"
    mv -f "$home/agent.pyz.new" "$home/agent.pyz"
    [ -e "$etc/agent.conf" ] || (umask 077 && example >"$etc/agent.conf")
    if [ -n "${STILLFRAME_BOOTSTRAP:-}" ]; then
        "$python" "$home/agent.pyz" enrol || fail 6 "the bootstrap was refused, or could not be kept"
    fi
    unset STILLFRAME_BOOTSTRAP
    for old in "$home"/agent-*.pyz; do
        [ "$old" = "$new" ] || in_use "$old" || rm -f "$old"
    done
    echo "stillframe: $("$python" "$home/agent.pyz" --version) installed as $new"
    reside "$python"
}

reside() {
    if [ ! -e "$etc/enrolment.json" ]; then
        echo "stillframe: not enrolled: a run command starts the agent for each session"
    elif ! with_systemd; then
        echo "stillframe: systemd does not run here: start '$1 $home/agent.pyz run --resident' at boot" >&2
    else
        write_unit "$1"
        systemctl daemon-reload
        systemctl enable --quiet "$service"
        # One that runs is left alone: it ends by itself once it holds nothing, and comes back as the new version.
        systemctl start "$service"
        echo "stillframe: resident as $service"
    fi
}

# Ends agents that run commands started; each lets go first.
end_agents() {
    for process in /proc/[0-9]*; do
        line=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
        case $line in
        *"$home/agent"*" run "*) kill -TERM "${process#/proc/}" 2>/dev/null || true ;;
        esac
    done
    waited=0
    while in_use "$home/agent"; do
        [ "$waited" -lt "${STILLFRAME_PATIENCE_S:-660}" ] || fail 7 "an agent still lets go: try again later"
        sleep 1
        waited=$((waited + 1))
    done
}

uninstall_agent() {
    if with_systemd && [ -e "$unit" ]; then
        systemctl disable --quiet "$service"
        systemctl stop "$service"
    fi
    end_agents
    rm -f "$unit"
    with_systemd && systemctl daemon-reload
    rm -f "$home"/agent-*.pyz "$home/agent.pyz" "$etc/enrolment.json" "$etc/enrolment.json.new"
    rm -rf "$state"
    if [ -e "$etc/agent.conf" ] && example | cmp -s - "$etc/agent.conf"; then
        rm -f "$etc/agent.conf"
    fi
    for folder in "$etc/scripts" "$etc" "$home"; do
        rmdir "$folder" 2>/dev/null || [ ! -d "$folder" ] || echo "stillframe: $folder is kept: it has files of yours"
    done
    echo "stillframe: removed"
}

[ "$(id -u)" = 0 ] || fail 2 "run this as root"
case ${1:-}/$# in
install/2) install_agent "$2" ;;
uninstall/1) uninstall_agent ;;
*) fail 2 "usage: install.sh install FILE, or install.sh uninstall" ;;
esac
