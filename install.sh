#!/bin/sh
# Install autosync for the user who runs this. `./install.sh --help` says more.
#
# A new version is built beside the one in use and takes its place by the swap of one link, so
# that an interrupted run changes nothing and is finished by the next.
set -eu

usage() {
    cat <<'TXT'
Usage: ./install.sh [--demo [--once]] | --uninstall [--purge]

Installs autosync, or a newer version of it, for the user who runs this. No root needed.

  --demo       afterwards show two machines keep a repository in sync; --once ends after the tour
  --uninstall  remove what this made; configuration, state and repositories stay
  --purge      with --uninstall: remove configuration and state, too, and take the hooks
               out of the configured repositories; the repositories themselves stay

The program goes below ~/.local/share/autosync, its commands into ~/.local/bin, and where there is a systemd
user session the services into ~/.config/systemd/user. A sample configuration goes to ~/.config/autosync.
TXT
}

say() { printf '%s\n' "$*"; }
fail() {
    printf 'install.sh: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  %s\n' "$2" >&2
    exit 1
}

commands="autosync git-autosync autosync-watcher autosync-relay autosync-reflector autosync-install-hooks"
units="autosync-watcher.service autosync-relay.service"
# for `autosync enable reflector`
idle_units="autosync-reflector.socket autosync-reflector.service"

# --- what this machine needs -------------------------------------------------------------------------------

git_is_new() {
    # $1: what `git version` says
    version=${1#git version }
    major=${version%%.*}
    rest=${version#*.}
    minor=${rest%%[!0-9]*}
    case "$major$minor" in '' | *[!0-9]*) return 1 ;; esac
    [ "$major" -gt 2 ] || { [ "$major" -eq 2 ] && [ "$minor" -ge 38 ]; }
}

have_git() { command -v git >/dev/null 2>&1 && git_is_new "$(git version)"; }

find_python() {
    # a shim can be there and lead nowhere, and Debian's Python has no venv without python3-venv: so try
    for candidate in python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

need() {
    # $1: what is missing, in words; $2: its packages on Debian; $3: on Fedora, and elsewhere; $4: on openSUSE
    if command -v apt-get >/dev/null 2>&1; then
        if [ "$(id -u)" -eq 0 ]; then
            say "Installing $2"
            # shellcheck disable=SC2086 # a list of packages
            if DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $2 >/dev/null 2>&1 ||
                { apt-get update >/dev/null 2>&1 &&
                    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $2 >/dev/null 2>&1; }; then
                return
            fi
            fail "$1 is missing, and apt-get could not install it" "apt-get install $2"
        fi
        fail "$1 is missing" "sudo apt-get install $2"
    elif command -v dnf >/dev/null 2>&1; then
        fail "$1 is missing" "sudo dnf install $3"
    elif command -v zypper >/dev/null 2>&1; then
        fail "$1 is missing" "sudo zypper install $4"
    fi
    fail "$1 is missing" "install it with this system's package manager: $3"
}

prerequisites() {
    if ! have_git; then
        need "git 2.38 or newer" git git git
        have_git || fail "git is older than 2.38, and this system has no newer one" \
            "install git 2.38 or newer, and run this again"
    fi
    if ! python=$(find_python); then
        need "Python 3.11 to 3.13 with its venv module" "python3 python3-venv" python3.13 python313
        python=$(find_python) || fail "this system's Python is not one of 3.11 to 3.13" \
            "install one of them (with venv), and run this again"
    fi
}

# --- places -------------------------------------------------------------------------------------------------

places() {
    [ -d "${HOME:-}" ] || fail "there is no home folder" "set HOME"
    data=$(absolute "${XDG_DATA_HOME:-}" "$HOME/.local/share")/autosync
    configuration=$(absolute "${XDG_CONFIG_HOME:-}" "$HOME/.config")
    state=$(absolute "${XDG_STATE_HOME:-}" "$HOME/.local/state")/autosync
    bin=$HOME/.local/bin
    unit_folder=$configuration/systemd/user
    configuration=$configuration/autosync
    source_folder=$(cd "$(dirname "$0")" && pwd)
}

absolute() {
    # XDG base directory specification: a path that is not absolute is ignored
    case $1 in /*) printf '%s' "$1" ;; *) printf '%s' "$2" ;; esac
}

only_one() {
    mkdir -p "$data" || fail "cannot make the folder $data" "see the message above"
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$data/install.lock"
        flock -n 9 || fail "another install.sh is at work on $data" "wait for it to end, and run this again"
    fi
}

is_ours() { [ -L "$1" ] && case $(readlink "$1") in "$data"/current/*) true ;; *) false ;; esac; }

processes_in() {
    # the ids of processes that run from folder $1; the pattern comes by standard input, as grep is one, too
    # shellcheck disable=SC2062 # the files to look in
    printf '%s\n' "$1/" | grep -lsF -f - /proc/[0-9]*/cmdline | tr -dc '0-9\n' | tr '\n' ' ' || true
}

named() {
    # the processes $1 as a person knows them
    separator=
    for pid in $1; do
        name=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | sed -n 's|.*/bin/\(autosync[a-z-]*\)$|\1|p' | head -n 1)
        printf '%s%s (process %s)' "$separator" "${name:-autosync}" "$pid"
        separator=', '
    done
}

sweep() {
    # what interrupted runs left, and old versions, unless somebody still runs from there
    rm -f "$data"/current.new-*
    current=$(readlink "$data/current" 2>/dev/null || true)
    for folder in "$data"/versions/*; do
        if [ -d "$folder" ] && [ "$folder" != "$data/$current" ] && [ -z "$(processes_in "$folder")" ]; then
            rm -rf "$folder"
        fi
    done
}

user_systemd() { command -v systemctl >/dev/null 2>&1 && systemctl --user show-environment >/dev/null 2>&1; }

# --- installing ---------------------------------------------------------------------------------------------

refuse_strangers() {
    for name in $commands; do
        if { [ -e "$bin/$name" ] || [ -L "$bin/$name" ]; } && ! is_ours "$bin/$name"; then
            fail "$bin/$name is there already and is not from here" "move it away, and run this again"
        fi
    done
}

build() {
    sweep
    new=versions/$(date +%Y%m%d-%H%M%S)-$$
    trap 'rm -rf "$data/$new"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    mkdir -p "$data/versions"
    say "Making its environment with $("$python" --version)"
    "$python" -m venv "$data/$new" || fail "cannot make a virtual environment in $data/$new" "see the message above"
    say "Installing what it needs"
    # Build tools first and no build isolation: everything that is fetched is checked against a hash.
    pip_install --require-hashes -r "$source_folder/requirements-build.lock"
    # PIP_USE_PEP517: one dependency has only a setup.py, which an old pip would run in an old way
    PIP_USE_PEP517=1 pip_install --no-build-isolation --require-hashes -r "$source_folder/requirements.lock"
    say "Installing autosync"
    # from a copy: a build leaves folders in the tree, from which the next one would take modules that are gone
    copy=$data/$new/source
    mkdir "$copy"
    for name in pyproject.toml README.md LICENSE common console hooks packaging relay watcher; do
        cp -R "$source_folder/$name" "$copy/"
    done
    pip_install --no-build-isolation --no-deps "$copy"
    rm -rf "$copy"
    "$data/$new/bin/autosync" --version >/dev/null || fail "the new version does not start" "see the message above"
}

pip_install() {
    # Where packages come from is for the person's settings of pip to say; how and where to install them is not, and
    # these come before those (an empty --target is none)
    PIP_USER=0 PIP_DRY_RUN=0 PIP_REQUIRE_HASHES=0 PIP_CONSTRAINT=/dev/null \
        "$data/$new/bin/python" -m pip --quiet --disable-pip-version-check install --target '' \
        --only-binary :none: --no-binary :none: "$@" 9>&- ||
        fail "pip could not install what is needed; nothing was changed" \
            "see the message above; is the network there? then run this again"
}

switch() {
    ln -s "$new" "$data/current.new-$$"
    mv -T "$data/current.new-$$" "$data/current"
    trap - EXIT INT TERM HUP
    mkdir -p "$bin" || fail "cannot make the folder $bin" "see the message above"
    for name in $commands; do
        is_ours "$bin/$name" || ln -s "$data/current/bin/$name" "$bin/$name"
    done
}

documents() {
    # manual pages, and completion for bash and fish, as links into the version in use; $1: install or remove.
    # man looks beside the folders of the PATH, bash and fish in the data folder.
    share=$(dirname "$data")
    for pair in "man/man1 $HOME/.local/share/man/man1" \
        "bash-completion/completions $share/bash-completion/completions" \
        "fish/vendor_completions.d $share/fish/vendor_completions.d"; do
        from=$data/current/share/${pair%% *} to=${pair#* }
        for file in "$to"/*; do
            # of commands that this version does not have
            if is_ours "$file" && { [ "$1" = remove ] || [ ! -e "$file" ]; }; then rm -f "$file"; fi
        done
        [ "$1" = install ] || continue
        mkdir -p "$to"
        for file in "$from"/*; do
            [ -e "$to/${file##*/}" ] || ln -s "$file" "$to/${file##*/}"
        done
    done
}

sample_configuration() {
    "$data/current/bin/python" -c '
from autosync.common.instance import Instance
from autosync.console.entry import ensure_file
instance = Instance.of()
print("A sample configuration is in" if ensure_file(instance) else "Your configuration stays as it is:", instance.config)
'
}

services() {
    if ! user_systemd; then
        say "There is no systemd user session here: start the services in the background with"
        say "  setsid --fork autosync-watcher --log-file ~/.local/state/autosync/watcher.log"
        say "  setsid --fork autosync-relay --log-file ~/.local/state/autosync/relay.log"
        return
    fi
    fresh='' known=''
    for unit in $units autosync-reflector.service; do
        if [ -e "$unit_folder/$unit" ]; then
            known="$known $unit"
        elif [ "$unit" != autosync-reflector.service ]; then
            fresh="$fresh $unit"
        fi
    done
    say "Starting the services"
    "$data/current/bin/python" -c '
import sys
from pathlib import Path
from autosync.console import units
for service in ("watcher", "relay", "reflector"):
    units.write(Path(sys.argv[1]), service)
' "$bin"
    systemctl --user daemon-reload
    started=yes
    # what the person has switched off since stays off
    # shellcheck disable=SC2086 # a list of units
    [ -z "$fresh" ] || systemctl --user --quiet enable --now $fresh || started=no
    # shellcheck disable=SC2086
    [ -z "$known" ] || systemctl --user try-restart $known || started=no
    for unit in $units; do
        name=${unit%.service}
        if systemctl --user --quiet is-enabled "$unit"; then
            say "$name runs under systemd: systemctl --user status $name"
        else
            say "$name is switched off, and stays so: autosync enable ${name#autosync-}"
        fi
    done
    # where systemd-logind.service(8) keeps whose services outlive their sessions
    [ -e "/var/lib/systemd/linger/$(id -un)" ] ||
        say "The services run while you are logged in. To let them run always: loginctl enable-linger"
}

path_hint() {
    case ":$PATH:" in
        *":$bin:"*) ;;
        *) say "$bin is not in your PATH: add this to your shell's start-up file"
            # shellcheck disable=SC2016 # for the person to paste
            say '  export PATH="$HOME/.local/bin:$PATH"' ;;
    esac
}

install() {
    started=yes
    prerequisites
    only_one
    refuse_strangers
    build
    switch
    documents install
    sample_configuration
    services
    sweep
    old=$(processes_in "$data/versions")
    if [ -n "$old" ] && ! user_systemd; then
        say "What runs goes on with the version from before; start it anew to use this one: $(named "$old")"
    fi
    path_hint
    [ $started = yes ] || fail "autosync is installed, but a service does not start (see above)" \
        "mend what 'autosync status' or 'journalctl --user -e -p err' names; systemd tries again every 10 seconds"
    say "autosync is installed. Begin with:  autosync init PATH --remote URL   or see it work:  autosync demo"
}

# --- uninstalling -------------------------------------------------------------------------------------------

remove_hooks() {
    # Asked of the program while it is still there. A configuration that cannot be read names none.
    "$data/current/bin/python" -c '
import os, sys
from autosync.common import config
from autosync.common.errors import Problem
from autosync.common.instance import Instance
try:
    for repo in config.load(Instance.of().config)[1]:
        sys.stdout.buffer.write(os.fsencode(repo.path) + b"\0")
except Problem:
    pass
' | xargs -0 -r -n 1 "$data/current/bin/autosync-install-hooks" --uninstall ||
        say "Some hooks could not be taken out; they do nothing without autosync."
}

uninstall() {
    only_one
    installed=no
    [ ! -L "$data/current" ] || installed=yes
    if user_systemd; then
        for unit in $units $idle_units; do
            [ ! -e "$unit_folder/$unit" ] || systemctl --user --quiet disable --now "$unit" || true
        done
    fi
    for unit in $units $idle_units; do
        if [ -e "$unit_folder/$unit" ] && grep -q '^# Written by autosync' "$unit_folder/$unit"; then
            rm -f "$unit_folder/$unit"
        fi
    done
    ! user_systemd || systemctl --user daemon-reload
    left=$(processes_in "$data/versions")
    [ -z "$left" ] || fail "autosync still runs: $(named "$left")" "stop it, and run this again: kill $left"
    [ "$purge" = no ] || [ "$installed" = no ] || remove_hooks
    for name in $commands; do
        ! is_ours "$bin/$name" || rm -f "$bin/$name"
    done
    documents remove
    rm -rf "$data/current" "$data/versions"
    rm -f "$data"/current.new-* "$data/install.lock"
    rmdir "$data" 2>/dev/null || true
    if [ "$purge" = yes ]; then
        rm -rf "$configuration" "$state"
        say "autosync is removed, with its configuration and state. Your repositories are as they were."
    else
        say "autosync is removed. Configuration ($configuration), state and repositories are as they were."
    fi
}

# --- the command line ---------------------------------------------------------------------------------------

action=install demo=no once=no purge=no
for argument in "$@"; do
    case $argument in
        --demo) demo=yes ;;
        --once) once=yes ;;
        --uninstall) action=uninstall ;;
        --purge) purge=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            printf '\ninstall.sh: unknown argument: %s\n' "$argument" >&2
            exit 2
            ;;
    esac
done
if { [ $purge = yes ] && [ $action != uninstall ]; } || { [ $demo = yes ] && [ $action = uninstall ]; } ||
    { [ $once = yes ] && [ $demo = no ]; }; then
    usage >&2
    exit 2
fi

# what these say of another Python must not reach the new environment
unset PYTHONPATH PYTHONHOME PIP_PYTHON PIP_PREFIX PIP_ROOT PIP_BUILD_CONSTRAINT
places
"$action"
if [ $demo = yes ]; then
    exec 9>&-
    [ $once = no ] || set -- --once
    [ $once = yes ] || set --
    exec "$bin/autosync" demo "$@"
fi
