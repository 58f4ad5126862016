#!/bin/sh
# Builds PostgreSQL, its contrib modules and pgvector into a small relocatable folder. Linux only.
#
#   build.sh OUT_DIR             leaves bin/ lib/ share/ in OUT_DIR (replaced if it is there)
#   build.sh --archive OUT_DIR   the same, then packs it beside this script as the archive the crate embeds
#
# Sources: PG_SRC and VECTOR_SRC (each a tar file or an unpacked folder); without them the pinned versions come
# from Debian trixie's source packages by way of apt (DEBIAN_MIRROR=URL where apt is not set up for Debian).
# Needs: a C compiler, make, perl, bison, flex, tar, bzip2, gzip; zstd for --archive.
set -eu

PG_PACKAGE=postgresql-17=17.11-0+deb13u1
PG_SHA256=dd27f2b3c59e73ed14aa3324901242bf69a032a6347805f274e6260322d42979
VECTOR_PACKAGE=pgvector=0.8.0-1
VECTOR_SHA256=867a2c328d4928a5a9d6f052cd3bc78c7d60228a9b914ad32aa3db88e9de27b0
# One time stamp for every file in the archive, so that the same tool chain gives the same bytes.
MTIME=@1767225600

here=$(cd "$(dirname "$0")" && pwd)
archive=no
if [ "${1:-}" = --archive ]; then archive=yes; shift; fi
out=${1:?usage: build.sh [--archive] OUT_DIR}
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)}

say() { echo "postgres bundle: $*" >&2; }
die() { say "$*"; exit 1; }

[ "$(uname -s)" = Linux ] || die "only Linux is supported; set SYSTEM_DB_URL to a PostgreSQL 17 server with pgvector instead"
missing=
for tool in "${CC:-cc}" make perl bison flex tar bzip2 gzip; do
    command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"
done
[ -z "$missing" ] || die "missing tools:$missing (on Debian: apt-get install build-essential perl bison flex bzip2)"

work=$(mktemp -d "${TMPDIR:-/tmp}/adjutant-pg.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

# Downloads the pinned source packages with apt's own signature checks, without touching the machine's lists.
fetch() {
    command -v apt-get >/dev/null 2>&1 || die "no apt here: set PG_SRC and VECTOR_SRC to the sources"
    # shellcheck disable=SC2016  # apt reads $(REPO_URI), not the shell
    mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | grep '/debian/*$' | sort -u | head -n 1)}
    [ -n "$mirror" ] || die "no Debian mirror known to apt: set DEBIAN_MIRROR, or PG_SRC and VECTOR_SRC"
    mirror=${mirror%/}
    keys=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
    for suite in "$mirror trixie" "$mirror trixie-updates" "$mirror-security trixie-security"; do
        echo "deb-src [signed-by=$keys] $suite main"
    done >"$work/apt/sources.list"
    set -- -q -o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=
    apt-get "$@" update >&2
    (cd "$work/apt" && apt-get "$@" source --download-only "$PG_PACKAGE" "$VECTOR_PACKAGE" >&2)
    PG_SRC=${PG_SRC:-$(ls "$work"/apt/postgresql-17_*.orig.tar.*)}
    VECTOR_SRC=${VECTOR_SRC:-$(ls "$work"/apt/pgvector_*.orig.tar.*)}
    echo "$PG_SHA256  $PG_SRC" | sha256sum -c - >&2 || die "the PostgreSQL source is not the pinned one"
    echo "$VECTOR_SHA256  $VECTOR_SRC" | sha256sum -c - >&2 || die "the pgvector source is not the pinned one"
}

# unpack SOURCE FOLDER: a tar file or a folder, copied so that the caller's sources stay clean.
unpack() {
    mkdir -p "$2"
    if [ -d "$1" ]; then cp -R "$1/." "$2/"; else tar -xf "$1" -C "$2" --strip-components=1; fi
}

if [ -z "${PG_SRC:-}" ] || [ -z "${VECTOR_SRC:-}" ]; then fetch; fi
unpack "$PG_SRC" "$work/pg"
unpack "$VECTOR_SRC" "$work/vector"

say "building PostgreSQL (two to five minutes)"
cd "$work/pg"
# The run path makes every program find its own libpq wherever the folder is put; make turns $$ into $.
./configure --prefix=/usr/local/pgsql --without-readline --without-icu --without-zlib --disable-rpath \
    LDFLAGS="-Wl,-rpath,'\$\$ORIGIN/../lib'" >"$work/configure.log" 2>&1 || { tail -n 20 "$work/configure.log" >&2; die "configure failed"; }
build() { "$@" >>"$work/make.log" 2>&1 || { tail -n 40 "$work/make.log" >&2; die "failed: $*"; }; }
build make -s -j "$jobs"
build make -s -j "$jobs" -C contrib
build make -s install DESTDIR="$work/root"
build make -s -C contrib install DESTDIR="$work/root"
root="$work/root/usr/local/pgsql"

say "building pgvector"
cd "$work/vector"
# OPTFLAGS is -march=native by default, which would crash on processors older than the builder's.
# The map keeps the name of this build folder out of the result.
build make -s -j "$jobs" OPTFLAGS="-ffile-prefix-map=$work=." PG_CONFIG="$root/bin/pg_config"
build make -s install OPTFLAGS="" PG_CONFIG="$root/bin/pg_config"

tree="$work/tree"
mkdir -p "$tree/bin" "$tree/licenses"
for program in postgres initdb pg_ctl pg_dump pg_restore psql; do cp "$root/bin/$program" "$tree/bin/"; done
cp -R "$root/lib" "$root/share" "$tree/"
rm -rf "$tree/lib/pkgconfig" "$tree/lib/pgxs" "$tree/lib/bitcode" "$tree/share/doc" "$tree/share/man"
find "$tree/lib" -name '*.a' -delete
# Programs for building other software against this server, never used here.
rm -f "$tree"/lib/libecpg* "$tree"/lib/libpgtypes*
cp "$work/pg/COPYRIGHT" "$tree/licenses/PostgreSQL.txt"
cp "$work/vector/LICENSE" "$tree/licenses/pgvector.txt"
find "$tree/bin" -type f -exec strip {} +
find "$tree/lib" -type f -name '*.so*' -exec strip --strip-unneeded {} +

pg_version=$("$tree/bin/postgres" --version | sed 's/.* \([0-9][0-9.]*\).*/\1/')
vector_version=$(sed -n "s/^default_version = '\(.*\)'/\1/p" "$work/vector/vector.control")
{
    echo "postgresql $pg_version"
    echo "pgvector $vector_version"
    echo "platform $(uname -m)-linux-gnu"
} >"$tree/VERSIONS"
chmod -R u=rwX,go=rX "$tree"

mkdir -p "$(dirname "$out")"
rm -rf "$out.old"
if [ -e "$out" ]; then
    [ -x "$out/bin/postgres" ] || [ -z "$(ls -A "$out")" ] || die "$out is in use for something else"
    mv "$out" "$out.old"
fi
cp -R "$tree" "$out"
rm -rf "$out.old"
say "built PostgreSQL $pg_version with pgvector $vector_version in $out"

if [ "$archive" = yes ]; then
    file="$here/postgres-$pg_version-pgvector-$vector_version-$(uname -m)-linux.tar.zst"
    tar -C "$tree" --format=ustar --sort=name --owner=0 --group=0 --numeric-owner --mtime="$MTIME" -cf - . |
        zstd -q -19 -T1 -f -o "$file"
    # The crate names the unpacked folder by this sum, so that it need not hash the archive at every start.
    sha256sum "$file" | cut -d ' ' -f 1 >"$here/archive.sha256"
    say "packed $file ($(wc -c <"$file") bytes)"
fi
