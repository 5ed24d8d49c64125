#!/usr/bin/env bash
# Install the service from this checkout, where no package for the system is at hand. As root:
#   systemd/install.sh                     packages come from the network
#   systemd/install.sh --wheels FOLDER     packages come from a folder, made elsewhere with the same Python by:
#                                          pip download -r requirements/device.txt --only-binary :all: -d FOLDER
#   systemd/install.sh --rollback          the version before again; a second time: and back
#   systemd/install.sh --uninstall         settings and events stay
#   systemd/install.sh --purge             nothing stays
# Each version is an environment of its own below /opt/emotion-edge; `current` and `before` point to two of them.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
umask 022

home=/opt/emotion-edge
settings=/etc/emotion-edge/edge.toml
command=/usr/local/bin/emotion-edge

say() { printf 'systemd/install.sh: %s\n' "$1" >&2; }
fail() { say "$1"; exit 2; }

booted() { [ -d /run/systemd/system ]; }

check_computer() {
    command -v python3 >/dev/null || fail "python3 is not installed: sudo apt install python3-venv, then run this again"
    python3 -c 'import sys; sys.exit(sys.maxsize < 2**32)' \
        || fail "this system has 32 bits: expected 64, as the packages are made for no other; use Raspberry Pi OS (64-bit)"
    python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        || fail "found $(python3 --version): expected Python 3.11 to 3.13, as Debian 12 and 13 and Ubuntu 24.04 have it"
    python3 -c 'import ensurepip, venv' 2>/dev/null || fail "Python's venv is missing: sudo apt install python3-venv, then run this again"
    command -v systemd-sysusers >/dev/null || fail "systemd is not installed: the service needs it"
    [ ! -e /usr/lib/emotion-edge ] || fail "the Debian package is installed: sudo apt remove emotion-edge, then run this again"
}

make_environment() { # FOLDER PIP_OPTION...
    python3 -m venv "$1"
    local pip=("$1/bin/python" -m pip install -qq --disable-pip-version-check --no-deps "${@:2}")
    "${pip[@]}" --only-binary :all: --require-hashes -r requirements/device.txt || return
    "${pip[@]}" --no-build-isolation . || return
    mkdir "$1/systemd"
    cp systemd/edge.toml systemd/self_test.py "$1"
    for unit in systemd/*.service; do
        sed "s,=/usr/bin/emotion-edge,=$home/current/bin/emotion-edge," "$unit" >"$1/$unit"
    done
}

first_settings() {
    mkdir -p "$(dirname -- $settings)"
    [ -e $settings ] || sed "s,/usr/share/emotion-edge/,$home/current/," systemd/debian/edge.toml >$settings
}

point() { # LINK TARGET
    ln -sfn "$2" "$home/$1.new"
    mv -T "$home/$1.new" "$home/$1"
}

running() { # without those that are just tried again: they find the new version by themselves
    if booted; then
        systemctl list-units --plain --no-legend --state=active,reloading \
            emotion-edge.service 'emotion-edge@*.service' | cut -d ' ' -f 1
    fi
}

use() { # VERSION
    point current "$1"
    cp "$home/current/systemd"/*.service /etc/systemd/system/
    ln -sfn "$home/current/bin/emotion-edge" $command
    if booted; then systemctl daemon-reload; fi
}

# The new version, if the services that ran start with it; else all is as it was, and the code is 1.
switch() { # VERSION
    local old units
    old=$(readlink $home/current || true)
    mapfile -t units < <(running)
    use "$1"
    if [ ${#units[@]} -gt 0 ] && ! systemctl restart "${units[@]}" && [ -n "$old" ]; then
        use "$old"
        systemctl reset-failed "${units[@]}"
        systemctl restart "${units[@]}" || true
        return 1
    fi
    if [ -n "$old" ]; then point before "$old"; fi
}

remove_others() {
    local each
    for each in "$home"/*/; do
        each=$(basename -- "$each")
        case $each in current | before | "$(readlink $home/current)" | "$(readlink $home/before)") ;; *) rm -rf "${home:?}/$each" ;; esac
    done
}

install_version() { # PIP_OPTION...
    check_computer
    local first=yes version said
    [ ! -e $home/current ] || first=no
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)-$(date +%Y%m%d%H%M%S)
    systemd-sysusers "$PWD/systemd/emotion-edge.sysusers.conf"
    first_settings
    if ! make_environment "$home/$version" "$@"; then
        rm -rf "${home:?}/$version"
        fail "the packages could not be installed (the reason stands above); what was installed goes on"
    fi
    if ! said=$(runuser -u emotion-edge -- timeout 300 "$home/$version/bin/python" -I "$home/$version/self_test.py" $settings 2>&1); then
        rm -rf "${home:?}/$version"
        fail "$version does not run here, what was installed goes on: $(tail -n 1 <<<"$said")"
    fi
    if ! switch "$version"; then
        rm -rf "${home:?}/$version"
        fail "the service did not start with $version, see journalctl -u emotion-edge; the version before goes on"
    fi
    remove_others
    say "$version is installed"
    if [ $first = yes ]; then
        echo "It watches nobody yet. Say where the camera looks, then start it:"
        echo "  sudo nano $settings    # context, below [privacy]"
        echo "  sudo systemctl enable --now emotion-edge"
    fi
}

roll_back() {
    [ -d $home/before ] || fail "there is no version before: $home/before does not exist"
    switch "$(readlink $home/before)" || fail "the service did not start with the version before; nothing is changed"
    say "$(readlink $home/current) runs, --rollback again brings back $(readlink $home/before)"
}

uninstall() {
    if [ -e /etc/systemd/system/emotion-edge.service ]; then
        if booted; then systemctl stop emotion-edge.service 'emotion-edge@*.service'; fi
        systemctl --quiet disable emotion-edge.service emotion-edge@.service
    fi
    rm -rf $home $command /etc/systemd/system/emotion-edge.service /etc/systemd/system/emotion-edge@.service
    if booted; then systemctl daemon-reload; fi
}

purge() {
    uninstall
    rm -rf /etc/emotion-edge /var/lib/emotion-edge
    if getent passwd emotion-edge >/dev/null; then userdel emotion-edge; fi
    if getent group emotion-edge >/dev/null; then groupdel emotion-edge; fi
}

[ "$(id -u)" = 0 ] || fail "this needs root: sudo systemd/install.sh $*"
case "$# ${1:-}" in
    "0 ") install_version ;;
    "2 --wheels")
        [ -d "$2" ] || fail "$2 is no folder: expected one with wheels"
        install_version --no-index --find-links "$2"
        ;;
    "1 --rollback") roll_back ;;
    "1 --uninstall" | "1 --purge")
        if [ -e /usr/lib/emotion-edge ]; then fail "the Debian package is installed: sudo apt remove emotion-edge, or purge"; fi
        case $1 in --purge) purge ;; *) uninstall ;; esac
        ;;
    *) fail "unknown '$*': expected nothing, --wheels FOLDER, --rollback, --uninstall or --purge" ;;
esac
