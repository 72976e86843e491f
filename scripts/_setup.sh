# Owns the set-up that the commands beside this file share: the interpreter, the virtual environment, redis-server.
# Sourced, not run. Knows nothing of what the commands do with it.

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${ASYNCSCHED_VENV:-$project/.venv}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Whether a command is a Python that really runs (a shim may exist and yet fail) and is new enough.
is_usable_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# Debian ships Python without what `python -m venv` needs.
can_make_venvs() {
    "$1" -c 'import ensurepip, venv' >/dev/null 2>&1
}

# Print the interpreter to use: $PYTHON, or the newest in PATH that can make virtual environments.
find_python() {
    local candidate fallback=
    if [[ -n ${PYTHON:-} ]]; then
        is_usable_python "$PYTHON" || die "PYTHON=$PYTHON does not run, or is older than Python 3.11"
        printf '%s\n' "$PYTHON"
        return
    fi
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        is_usable_python "$candidate" || continue
        if can_make_venvs "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        fallback=${fallback:-$candidate}
    done
    [[ -n $fallback ]] || die "no Python 3.11 or newer found: install one, or name it with PYTHON=/path/to/python"
    printf '%s\n' "$fallback"
}

# What makes two virtual environments interchangeable.
identity_of() {
    "$1" -c 'import sys; print(sys.version.split()[0], sys.base_prefix)' 2>/dev/null
}

make_venv() {
    local python=$1
    if [[ -e $venv && ! -e $venv/pyvenv.cfg && -n $(ls -A "$venv") ]]; then
        die "$venv is no virtual environment: it is left alone; set ASYNCSCHED_VENV to another folder"
    fi
    can_make_venvs "$python" || apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" ||
        die "$python cannot make virtual environments: install its venv module (Debian: python3-venv)"
    printf 'making the virtual environment %s\n' "$venv" >&2
    rm -rf "$venv"
    "$python" -m venv "$venv"
}

# Make sure that $venv has the project with the given extra, and do nothing if it has it already.
ensure_venv() {
    local extra=$1 python stamp wanted
    python=$(find_python)
    if [[ ! -x $venv/bin/python || $(identity_of "$venv/bin/python") != $(identity_of "$python") ]]; then
        make_venv "$python"
    fi
    wanted=$("$venv/bin/python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' \
        "$project/pyproject.toml")
    for stamp in "$venv/.installed-$extra" "$venv/.installed-test"; do # test contains every other extra but docs
        [[ $extra == docs && $stamp == *-test ]] && continue
        [[ -e $stamp && $(<"$stamp") == "$wanted" ]] && return
    done
    printf 'installing asyncsched[%s] into %s\n' "$extra" "$venv" >&2
    "$venv/bin/python" -m pip install -qq --editable "$project[$extra]"
    printf '%s\n' "$wanted" >"$venv/.installed-$extra"
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# Install a Debian package if this user may; otherwise fail and leave the message to the caller.
apt_install() {
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1")
    command -v apt-get >/dev/null && as_root true 2>/dev/null || return 1
    printf 'installing %s with apt-get\n' "$1" >&2
    as_root "${install[@]}" </dev/null >/dev/null 2>&1 && return
    # The lists of a fresh machine are empty, and old ones name files that are gone.
    as_root apt-get update -qq </dev/null >/dev/null 2>&1
    as_root "${install[@]}" </dev/null >/dev/null 2>&1
}

ensure_redis_server() {
    command -v redis-server >/dev/null && return
    apt_install redis-server && command -v redis-server >/dev/null && return
    die "the tests need the program redis-server (6.2 or newer) in PATH, and it could not be installed from here.
Install it yourself:  apt-get install redis-server  |  dnf install redis  |  brew install redis
or leave its tests out:  scripts/test -m 'not redis'"
}

# The dashboard is tested in a browser. Where none can be installed, these tests are skipped, and say so.
ensure_chromium() {
    local name
    for name in chromium chromium-browser google-chrome; do
        command -v "$name" >/dev/null && return
    done
    apt_install chromium && command -v chromium >/dev/null && return
    printf '%s\n' "There is no Chromium, and it could not be installed from here: the tests of the dashboard in a browser are skipped.
Install it yourself:  apt-get install chromium  |  dnf install chromium  |  brew install --cask chromium" >&2
}
