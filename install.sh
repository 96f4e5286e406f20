#!/bin/sh
# shellcheck disable=SC2015 # A && B || C is only written where B is a test.
#
# Puts the runtime agent onto this machine, upgrades it, goes back to the version before, removes it; sh install.sh --help.
#
# Nothing is trusted but the public key below: a release is its SHA256SUMS, signed; what is fetched must have the sum that
# stands there, packed and again unpacked. All of it is collected in PREFIX/lib/runtime-agent/.staging, which is also the
# lock, and proved there. Then come the steps that others see, each of which is one rename or is undone by `undo`, also when
# a signal ends us: the version's own directory, the symlink PREFIX/bin/agent, which is all that the service names, the
# units, a restart. Only when the new version is ready is the one before it dropped, except as `previous`, for --rollback.
#
# Everything is in functions, and the last line calls them: a script of which the end is missing does nothing.

# The public half of the key that releases are signed with. npm run release puts it here; without it --public-key is needed.
public_key() {
  cat <<'PUBLIC_KEY'
PUBLIC_KEY
}

usage() {
  cat <<'TEXT'
Usage: sh install.sh [--from SOURCE] [OPTION…]     install or upgrade; again: repair
       sh install.sh --rollback                    back to the version before the last upgrade
       sh install.sh --uninstall [--purge]         remove it; --purge: with its configuration and state

SOURCE is the URL of a release, a directory, or one executable in a directory that has SHA256SUMS and SHA256SUMS.sig, too;
without it the directory of this script.

  --token-file FILE   take the one-time token from this file
  --token-stdin       take it from standard input; at a terminal it is asked for, and not shown
  --version VERSION   refuse a release that is not this version; to an older one only this goes
  --no-start          neither enable nor start nor restart the service
  --no-service        only the executable and agent.yaml, for another service manager
  --prefix DIR        instead of /usr/local, where /usr cannot be written: /opt/runtime-agent
  --ca FILE           who is trusted to serve the release, as PEM; proxies are taken from https_proxy and no_proxy
  --public-key FILE   whose signature counts, as PEM, instead of the key in this script
  --sums-sha256 HEX   trust the SHA256SUMS that has this SHA-256, instead of a signature: for an openssl older than 3,
                      when the signature was checked elsewhere
  --help              this text

Exit status: 0 done, or nothing to do; 1 failed, and nothing was changed; 2 bad usage; 3 the new version did not become ready
and the old one is back; 4 installed, but the service does not start.
TEXT
}

# What cannot be told, as nobody listens, has been done all the same.
say() {
  printf 'install.sh: %s\n' "$1" >&2 || :
}

# fail MESSAGE [HINT]: the one message of a run that failed; what was begun is undone at exit.
fail() {
  say "error: $1"
  [ $# -lt 2 ] || say "hint: $2"
  exit "$CODE"
}

bad_usage() {
  CODE=2
  fail "$1" 'sh install.sh --help shows what there is'
}

settings() {
  # The rest may have been set by whoever calls us; -a would put the token into the environment of all that we start.
  set -eu +aCf
  umask 022
  LC_ALL=C
  PATH=$PATH:/usr/sbin:/sbin
  export LC_ALL PATH
  # They change what the executable is, and how it is unpacked. What was exported by the name of the token would stay so.
  unset BUN_OPTIONS BUN_BE_BUN BUN_INSPECT XZ_OPT XZ_DEFAULTS GZIP TOKEN

  SERVICE=runtime-agent
  UNITS=/etc/systemd/system
  ETC=/etc/runtime-agent
  CONFIG=$ETC/agent.yaml
  VAR=/var/lib/runtime-agent
  # What the units need. Older ones know neither ProtectProc nor ProcSubset, and would leave them out without a word.
  OLDEST_SYSTEMD=247
  # Of a release, in KiB: the executable, and beside it what it is unpacked from (see BARS in scripts/release.ts).
  ROOM_PLAIN=122880 ROOM_XZ=41016 ROOM_GZ=53711
  # In KiB, what a server may send for an executable, and for everything else, before its sum is known.
  LARGEST=524288 LARGEST_TEXT=1024
  # In bytes.
  LARGEST_TOKEN=65536

  CODE=1 ACTION=install PURGE='' FROM='' PREFIX='' CA='' KEY_FILE='' SUMS_SHA256='' WANTED=''
  TOKEN_FILE='' TOKEN_STDIN='' START=yes WITH_SERVICE=yes TOKEN=''
  # What `undo` has to undo.
  STAGE='' MADE='' PLACED='' REPAIRED='' MADE_CONFIG='' SWITCHED='' OLD='' WAS_RUNNING='' RESTARTED='' TERMINAL=''
}

parse() {
  while [ $# -gt 0 ]; do
    case $1 in
      --*=*)
        option=${1%%=*} value=${1#*=}
        shift
        set -- "$option" "$value" "$@"
        ;;
    esac
    case $1 in
      --from | --prefix | --ca | --public-key | --sums-sha256 | --version | --token-file)
        [ $# -ge 2 ] && [ -n "$2" ] || bad_usage "Cannot use $1: it has no value"
        take "$1" "$2"
        shift
        ;;
      --token-stdin) TOKEN_STDIN=yes ;;
      --no-start) START='' ;;
      --no-service) WITH_SERVICE='' ;;
      --rollback) ACTION=rollback ;;
      --uninstall) ACTION=uninstall ;;
      --purge) PURGE=yes ;;
      --help | -h)
        usage
        exit 0
        ;;
      *) bad_usage "Cannot use '$1': there is no such option" ;;
    esac
    shift
  done
  check_options
}

take() {
  case $1 in
    --from) FROM=$2 ;;
    --prefix)
      PREFIX=${2%/}
      [ -n "$PREFIX" ] || bad_usage "Cannot use --prefix $2: want a directory below it"
      ;;
    --ca) CA=$2 ;;
    --public-key) KEY_FILE=$2 ;;
    --sums-sha256) SUMS_SHA256=$2 ;;
    --version) WANTED=${2#v} ;;
    --token-file) TOKEN_FILE=$2 ;;
  esac
}

check_options() {
  [ -z "$PURGE" ] || [ "$ACTION" = uninstall ] ||
    bad_usage 'Cannot use --purge: it belongs to --uninstall'
  [ -z "$FROM" ] || [ "$ACTION" = install ] ||
    bad_usage "Cannot use --from: --$ACTION needs no release"
  [ -z "$TOKEN_FILE" ] || [ -z "$TOKEN_STDIN" ] ||
    bad_usage 'Cannot use --token-stdin: --token-file names a token already'
  # It becomes part of units and of a list of directories.
  case $PREFIX in
    '' | /*) ;;
    *) bad_usage "Cannot use --prefix $PREFIX: want a path that begins with /" ;;
  esac
  case $PREFIX in
    *[!A-Za-z0-9/._+-]*) bad_usage "Cannot use --prefix $PREFIX: want letters, digits and / . _ + - only" ;;
  esac
  case $SUMS_SHA256 in
    *[!0-9a-f]*) bad_usage 'Cannot use --sums-sha256: want 64 digits of lower-case hex' ;;
  esac
  [ -z "$SUMS_SHA256" ] || [ ${#SUMS_SHA256} -eq 64 ] ||
    bad_usage 'Cannot use --sums-sha256: want 64 digits of lower-case hex'
  for file in "$CA" "$KEY_FILE" "$TOKEN_FILE"; do
    [ -z "$file" ] || [ -r "$file" ] || fail "Cannot read $file: there is no such file"
  done
}

need_root() {
  [ "$(id -u)" -eq 0 ] ||
    fail "Cannot $ACTION: only root can write to ${PREFIX:-/usr/local} and /etc" \
      'run it with sudo, for example: sudo sh install.sh --from DIR'
}

# --- where things are, and what is there already -------------------------------------------------------------------------

find_installed() {
  if [ -z "$PREFIX" ]; then
    PREFIX=$(sed -n 's|^ExecStart="\{0,1\}\(/[^ "]*\)/bin/agent"\{0,1\} .*|\1|p' "$UNITS/$SERVICE.service" 2>/dev/null) || :
    PREFIX=${PREFIX:-/usr/local}
  fi
  LIB=$PREFIX/lib/$SERVICE
  AGENT=$PREFIX/bin/agent
  if [ -L "$AGENT" ]; then
    OLD=$(readlink "$AGENT")
    case $OLD in
      "$LIB"/*/agent) OLD=${OLD#"$LIB"/} OLD=${OLD%/agent} ;;
      *) fail "Cannot $ACTION $AGENT: it leads to $OLD, which is not of this script" 'move it away' ;;
    esac
  elif [ -e "$AGENT" ]; then
    fail "Cannot $ACTION $AGENT: a file is there that is not of this script" \
      "move it away; a service that runs from it goes on: mv $AGENT $AGENT.old"
  fi
}

# Whoever can change one of these directories would say what root runs.
refuse_foreign() {
  for place in "$LIB" "$PREFIX/bin"; do
    while [ "$place" != / ]; do
      [ ! -e "$place" ] || [ -z "$(find -H "$place" -prune \( ! -user 0 -o -perm -002 ! -perm -1000 \))" ] ||
        fail "Cannot $ACTION: other users than root can change $place" \
          "chown root $place; chmod o-w $place; or name another place: --prefix /opt/runtime-agent"
      place=$(dirname "$place")
    done
  done
}

# Sets SYSTEMD, when there is one that is to be used.
find_systemd() {
  SYSTEMD=''
  [ -n "$WITH_SERVICE" ] && [ -d /run/systemd/system ] || return 0
  command -v systemctl >/dev/null || return 0
  version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge "$OLDEST_SYSTEMD" ] ||
    fail "Cannot make a service: this is systemd ${version:-of an unknown version}, want $OLDEST_SYSTEMD or newer" \
      'with --no-service only the executable and agent.yaml are installed'
  SYSTEMD=yes
}

# Sets PLATFORM to the name that its executable has in a release.
find_platform() {
  kernel=$(uname -s) machine=$(uname -m)
  case $machine in
    x86_64 | amd64) arch=x64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) arch='' ;;
  esac
  [ -z "$arch" ] || [ "$(getconf LONG_BIT 2>/dev/null)" != 32 ] || arch='' machine="$machine with 32-bit programs"
  case $kernel-$arch in
    Linux-x64 | Linux-arm64) PLATFORM=linux-$arch$(libc) || exit ;;
    Darwin-arm64) PLATFORM=darwin-arm64 ;;
    *)
      fail "Cannot install on $kernel $machine: there are executables for Linux on x86_64 and aarch64, and for macOS on arm64" \
        'agent.mjs of the release is the same program for Node 22.19 or later'
      ;;
  esac
}

# Prints the ending of the executable for the C library of this system; loaders of both libraries may be there.
libc() {
  getconf GNU_LIBC_VERSION >/dev/null 2>&1 && return
  case $(ldd --version 2>&1 || :) in
    *musl*) ;;
    *GNU* | *GLIBC*) return ;;
    *) [ -z "$(find /lib -maxdepth 1 -name 'ld-musl-*' 2>/dev/null)" ] && return ;;
  esac
  [ -n "$(find /lib /usr/lib /usr/local/lib -maxdepth 1 -name 'libstdc++.so.6' 2>/dev/null)" ] ||
    fail 'Cannot run on this system: its C library is musl, and the executable for it needs libstdc++, which is missing' \
      'install it, on Alpine with: apk add libstdc++'
  printf '%s' -musl
}

# Sets KIND to url, directory or file, and SOURCE to the URL or the directory of the release.
find_source() {
  KIND=directory SOURCE=${FROM%/}
  case $FROM in
    http://* | https://*)
      KIND=url
      command -v curl >/dev/null || command -v wget >/dev/null ||
        fail "Cannot download $(shown "$FROM"): there is neither curl nor wget" \
          'install one, or copy the release onto this machine and name its directory: --from DIR'
      return
      ;;
    *://*) bad_usage "Cannot use --from $FROM: want a URL that begins with https:// or http://, a directory or a file" ;;
    '')
      # Read from a pipe, this script has no directory.
      [ ! -f "$0" ] || SOURCE=$(dirname "$0")
      [ -f "${SOURCE:-/nowhere}/SHA256SUMS" ] ||
        bad_usage 'Cannot install: nothing says where the release is; want --from with a URL, a directory or a file'
      ;;
  esac
  if [ -f "$SOURCE" ]; then
    KIND=file ONLY=$(basename "$SOURCE") SOURCE=$(dirname "$SOURCE")
  fi
  [ -d "$SOURCE" ] || fail "Cannot read $SOURCE: there is no such file or directory"
  [ -f "$SOURCE/SHA256SUMS" ] ||
    fail "Cannot install from $SOURCE: there is no SHA256SUMS" 'want the files of a release beside each other'
}

# Sets TOKEN. It is never an argument of a program, nor in an environment.
read_token() {
  [ -n "$TOKEN_FILE$TOKEN_STDIN" ] || return 0
  # Under sh -x it would be in what people send to each other.
  set +x
  if [ -n "$TOKEN_FILE" ]; then
    TOKEN=$(head -c "$LARGEST_TOKEN" "$TOKEN_FILE" | tr '\000' '?')
  elif [ -t 0 ]; then
    TERMINAL=$(stty -g)
    # In this order, as what is pasted at once would be shown.
    stty -echo
    printf 'One-time token (not shown): ' >&2
    IFS= read -r TOKEN || :
    stty "$TERMINAL"
    TERMINAL=''
    printf '\n' >&2
  else
    TOKEN=$(head -c "$LARGEST_TOKEN" | tr '\000' '?')
  fi
  [ -n "$TOKEN" ] ||
    fail "Cannot use the token from ${TOKEN_FILE:-standard input}: it is empty" \
      'when this script comes through a pipe, standard input is the script: use --token-file'
  [ ${#TOKEN} -lt $((LARGEST_TOKEN - 1)) ] ||
    fail "Cannot use the token from ${TOKEN_FILE:-standard input}: it is larger than any" 'is that the right file?'
}

# --- the staging directory -----------------------------------------------------------------------------------------------

# Makes a directory with its parents; those that were not there go again when it comes to nothing.
make_directory() {
  [ ! -d "$1" ] || return 0
  make_directory "$(dirname "$1")"
  said=$(mkdir "$1" 2>&1) || cannot_write "$1" "$said"
  MADE="$1 $MADE"
}

# cannot_write PATH WHAT-A-TOOL-SAID
cannot_write() {
  why=${2##*: }
  case $why in
    *Read-only*) fail "Cannot write $1: $why" 'name a directory that can be written: --prefix /opt/runtime-agent' ;;
    *'No space'*) fail "Cannot write $1: $why" 'free some space there and run this again' ;;
    *) fail "Cannot write $1: $why" ;;
  esac
}

# Ends us when another run has the staging directory.
refuse_other() {
  staging=$LIB/.staging
  [ -d "$staging" ] || return 0
  # One that has just made it is about to write this.
  [ -s "$staging/pid" ] || sleep 1
  other=$(cat "$staging/pid" 2>/dev/null) || :
  case $other in
    '' | *[!0-9]*) return ;;
  esac
  ! kill -0 "$other" 2>/dev/null ||
    fail "Cannot $ACTION: process $other is at it" "when that is something else: rm -r $staging"
}

stage() {
  make_directory "$LIB"
  refuse_other
  # Of a run that was killed.
  rm -rf "$staging"
  said=$(mkdir -m 700 "$staging" 2>&1) || cannot_write "$staging" "$said"
  STAGE=$staging
  said=$(printf '%s\n' "$$" 2>&1 >"$STAGE/pid") || cannot_write "$STAGE/pid" "$said"
}

# need_room KIB: before it is begun, as most of the time of a download would be lost.
need_room() {
  room=$(df -Pk "$STAGE" | { read -r _ && read -r _ _ _ room _ && echo "$room"; }) || room=''
  case $room in
    '' | *[!0-9]*) return ;;
  esac
  [ "$room" -ge "$1" ] ||
    fail "Cannot install to $LIB: $(($1 / 1024)) MiB are needed there, $((room / 1024)) MiB are free" \
      'free some space there, or name another place: --prefix /opt/runtime-agent'
}

# --- what a release is fetched with --------------------------------------------------------------------------------------

# fetch NAME: a file of the release into the staging directory, as it is.
fetch() {
  if [ "$KIND" = url ]; then
    download "$SOURCE/$1" "$STAGE/$1"
  else
    [ -f "$SOURCE/$1" ] || fail "Cannot install from $SOURCE: there is no $1"
    said=$(cp "$SOURCE/$1" "$STAGE/$1" 2>&1) || cannot_write "$STAGE/$1" "$said"
  fi
}

download() {
  tool=curl largest=$LARGEST_TEXT
  command -v curl >/dev/null || tool=wget
  case $1 in
    */agent-*) largest=$LARGEST ;;
  esac
  # In blocks of 512 bytes: a server that never ends must not fill the disk.
  said=$(trap '' XFSZ && ulimit -f $((2 * largest)) && "with_$tool" "$1" "$2" 2>&1) || explain_download "$(shown "$1")" "$?"
}

# A URL without the password that may be in it.
shown() {
  printf '%s' "$1" | sed 's|^\([a-z]*://\)[^/]*@|\1|'
}

with_curl() {
  # Nobody may lead us from https to http.
  case $1 in
    https:*) also='=https' ;;
    *) also='=http,https' ;;
  esac
  curl --fail --silent --show-error --location --proto '=http,https' --proto-redir "$also" \
    --connect-timeout 30 --speed-time 60 --speed-limit 1000 --retry 2 ${CA:+--cacert "$CA"} --output "$2" "$1"
}

with_wget() {
  case $(wget --help 2>&1) in
    # It knows few options, and one that was built without time limits dies of -T.
    *BusyBox*-T*) wget -q -T 60 -O "$2" "$1" ;;
    *BusyBox*) wget -q -O "$2" "$1" ;;
    *) wget --no-verbose --tries=3 --timeout=60 ${CA:+--ca-certificate="$CA"} -O "$2" "$1" ;;
  esac
}

# explain_download URL STATUS: says which of the things that go wrong it is. Numbers are of curl, then of wget.
explain_download() {
  said=$(last_line "$said")
  said=${said#"curl: ("*") "} said=${said#wget: }
  hint='run it again; without a network copy the release onto this machine and name its directory: --from DIR'
  size=$({ wc -c <"$STAGE/${1##*/}"; } 2>/dev/null) || size=0
  [ "$size" -lt $((1024 * largest)) ] ||
    fail "Cannot download $1: it is larger than $((largest / 1024)) MiB, which nothing of a release is" \
      'is that the URL of the directory of a release?'
  case $tool-$2-$said in
    *'No space left'* | curl-23-* | wget-3-*) cannot_write "$STAGE" ': No space left on device' ;;
    curl-60-* | curl-77-* | wget-5-*) explain_ca "$1" "$said" ;;
    curl-5-* | curl-6-* | curl-7-* | curl-28-* | wget-4-*)
      hint='is there a network, or a proxy to name in https_proxy? Else copy the release onto this machine: --from DIR'
      ;;
    curl-22-* | wget-8-*) hint='is that the URL of the directory of a release, which is signed?' ;;
  esac
  fail "Cannot download $1: ${said:-$tool ended with $2}" "$hint"
}

explain_ca() {
  for bundle in "$CA" "${SSL_CERT_FILE:-}" "${CURL_CA_BUNDLE:-}" /etc/ssl/certs/ca-certificates.crt \
    /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    [ -z "$bundle" ] || [ ! -s "$bundle" ] ||
      fail "Cannot download $1: its server is not trusted: $2" 'name the CA of the server: --ca FILE'
  done
  fail "Cannot download $1: there is no CA bundle on this machine to know its server by" \
    'install the package ca-certificates, or name a CA: --ca FILE'
}

sha256() {
  if command -v sha256sum >/dev/null; then
    sha256sum <"$1"
  elif command -v shasum >/dev/null; then
    shasum -a 256 <"$1"
  else
    openssl dgst -sha256 -r <"$1"
  fi | { read -r sum _ && printf '%s' "$sum"; }
}

# The sum that SHA256SUMS has for a name; nothing, when it has none.
sum_of() {
  while read -r sum name; do
    [ "$name" != "$1" ] || printf '%s' "$sum"
  done <"$STAGE/SHA256SUMS"
}

# check_sum FILE NAME: ends us, unless the file is the one of that name in the release.
check_sum() {
  wanted=$(sum_of "$2")
  [ -n "$wanted" ] || fail "Cannot use $2: SHA256SUMS does not name it"
  found=$(sha256 "$1")
  [ "$found" = "$wanted" ] ||
    fail "Cannot use $2: its SHA-256 is $found, want $wanted: half of it, or not what was released" \
      'fetch it again; when that does not help, somebody changed it: tell those who gave it to you'
}

fetch_checked() {
  fetch "$1"
  check_sum "$STAGE/$1" "$1"
}

# --- the release ---------------------------------------------------------------------------------------------------------

need_openssl() {
  [ -z "$SUMS_SHA256" ] || return 0
  ELSEWHERE='check the signature on another machine, and give --sums-sha256'
  command -v openssl >/dev/null ||
    fail 'Cannot verify the release: openssl is not installed' "install it (package openssl), or $ELSEWHERE"
  case $(openssl pkeyutl -help 2>&1 || :) in
    *-rawin*) ;;
    *) fail "Cannot verify the release: $(openssl version) cannot check Ed25519 signatures, want OpenSSL 3" "$ELSEWHERE" ;;
  esac
  [ -n "$KEY_FILE" ] || [ -n "$(public_key)" ] ||
    fail 'Cannot verify the release: there is no public key in this script' \
      'take install.sh out of a release, or name the key: --public-key FILE'
}

# Fetches SHA256SUMS and proves that it is ours, then what it says about the version.
open_release() {
  fetch SHA256SUMS
  if [ -n "$SUMS_SHA256" ]; then
    found=$(sha256 "$STAGE/SHA256SUMS")
    [ "$found" = "$SUMS_SHA256" ] ||
      fail "Cannot trust this release: the SHA-256 of SHA256SUMS is $found, want $SUMS_SHA256"
  else
    fetch SHA256SUMS.sig
    verify_signature
  fi
  fetch_checked VERSION
  VERSION=$(cat "$STAGE/VERSION")
  case $VERSION in
    '' | .* | *[!0-9A-Za-z.+-]*) fail 'Cannot install: VERSION of the release is no version' ;;
  esac
  [ -z "$WANTED" ] || [ "$WANTED" = "$VERSION" ] ||
    fail "Cannot install $WANTED: this release is $VERSION"
  # Whoever answers for the server can bring an old release, with its signature and all that was wrong with it.
  [ -n "$WANTED" ] || [ -z "$OLD" ] || ! is_older "$VERSION" "$OLD" ||
    fail "Cannot go from $OLD to $VERSION: it is older" \
      "when that is meant: --version $VERSION; back to the version before: --rollback"
}

# is_older A B: whether version A comes before B. Of two that differ only in what follows - or + neither does, but 1.0.0-rc
# comes before 1.0.0.
is_older() {
  a=${1%%[-+]*} b=${2%%[-+]*}
  while [ -n "$a$b" ]; do
    first=${a%%.*} second=${b%%.*}
    case $first-$second in
      *[!0-9-]*) return 1 ;;
    esac
    [ "${first:-0}" -eq "${second:-0}" ] || {
      [ "${first:-0}" -lt "${second:-0}" ]
      return
    }
    case $a in *.*) a=${a#*.} ;; *) a='' ;; esac
    case $b in *.*) b=${b#*.} ;; *) b='' ;; esac
  done
  case ${1%%+*}/${2%%+*} in
    *-*/*-*) return 1 ;;
    *-*/*) ;;
    *) return 1 ;;
  esac
}

verify_signature() {
  if [ -n "$KEY_FILE" ]; then cat "$KEY_FILE"; else public_key; fi >"$STAGE/key.pem"
  openssl pkey -pubin -in "$STAGE/key.pem" -noout 2>/dev/null ||
    fail "Cannot use ${KEY_FILE:-the key in this script}: it is not a public key in PEM"
  said=$(openssl pkeyutl -verify -rawin -pubin -inkey "$STAGE/key.pem" \
    -sigfile "$STAGE/SHA256SUMS.sig" -in "$STAGE/SHA256SUMS" 2>&1) && return
  case $said in
    *'Verification Failure'*)
      fail 'Cannot trust this release: SHA256SUMS.sig is not a signature of its SHA256SUMS with the key that counts' \
        'nothing of it was run; tell those who gave it to you'
      ;;
  esac
  # For example one that may only do what FIPS 140 knows.
  fail "Cannot verify the release: openssl cannot check Ed25519 signatures here: $(last_line "$said")" "$ELSEWHERE"
}

# Sets FORM to what the executable is fetched as: the smallest that can be unpacked here.
choose_form() {
  plain=agent-$PLATFORM
  for FORM in "$plain.xz" "$plain.gz" "$plain"; do
    case $FORM in
      *.xz) room=$((ROOM_PLAIN + ROOM_XZ)) tool=xz ;;
      *.gz) room=$((ROOM_PLAIN + ROOM_GZ)) tool=gzip ;;
      *) room=$ROOM_PLAIN tool=cat ;;
    esac
    [ "$KIND" != file ] || [ "$ONLY" = "$FORM" ] || continue
    [ -n "$(sum_of "$FORM")" ] || continue
    [ "$KIND" = url ] || [ -f "$SOURCE/$FORM" ] || continue
    if ! command -v $tool >/dev/null; then
      [ "$KIND" != file ] || fail "Cannot unpack $FORM: there is no $tool" "install it, or bring $plain instead"
      continue
    fi
    need_room "$room"
    return
  done
  [ "$KIND" != file ] || fail "Cannot install $ONLY on this machine: want $plain, $plain.xz or $plain.gz of a release"
  fail "Cannot install from $(shown "$SOURCE"): there is no executable for $PLATFORM that can be unpacked here"
}

# Gets the executable, as $STAGE/agent, and proves that it is the one of the release and runs on this machine.
fetch_executable() {
  choose_form
  [ "$KIND" != url ] || say "downloading $FORM of $VERSION"
  fetch_checked "$FORM"
  case $FORM in
    *.xz) unpack xz ;;
    *.gz) unpack gzip ;;
    *) mv "$STAGE/$FORM" "$STAGE/agent" ;;
  esac
  check_sum "$STAGE/agent" "agent-$PLATFORM"
  chmod 755 "$STAGE/agent"
  # Else systemd may not start what lies in a lib directory.
  ! selinuxenabled 2>/dev/null || chcon -t bin_t "$STAGE/agent" || :
  # It must not be renamed before its bytes are on the disk.
  sync "$STAGE/agent" 2>/dev/null || sync
  said=$("$STAGE/agent" version 2>&1) || fail "Cannot run agent-$PLATFORM on this machine: $(last_line "$said")"
  case "$said " in
    "runtime-agent $VERSION "*) ;;
    *) fail "Cannot install $VERSION: its executable calls itself '$(last_line "$said")'" ;;
  esac
}

unpack() {
  said=$("$1" -dc "$STAGE/$FORM" 2>&1 >"$STAGE/agent") || {
    case $said in
      *'No space'*) cannot_write "$STAGE/agent" "$said" ;;
    esac
    fail "Cannot unpack $FORM: $(last_line "$said")"
  }
  rm "$STAGE/$FORM"
}

last_line() {
  printf '%s\n' "$1" | tail -n 1 | tr -d '\000-\037\177'
}

# --- the steps that others see -------------------------------------------------------------------------------------------

# A command of the agent, whose own message becomes ours.
run_agent() {
  program=$1
  shift
  said=$("$program" "$@" 2>&1) && return
  why=$(printf '%s\n' "$said" | sed -n '/^agent: error: /,$p')
  # One that was killed, or does not get so far, says it in no words of ours.
  [ -n "$why" ] || why="Cannot run $program $1: $(last_line "$said")"
  fail "${why#agent: error: }"
}

# A commented agent.yaml, where there is none; then the version is asked whether it can use what is there.
configure() {
  if [ ! -e "$CONFIG" ] && [ ! -L "$CONFIG" ]; then
    make_directory "$ETC"
    fetch_checked agent.example.yaml
    chmod 640 "$STAGE/agent.example.yaml"
    said=$(cp "$STAGE/agent.example.yaml" "$CONFIG.new" 2>&1) || cannot_write "$CONFIG" "$said"
    mv "$CONFIG.new" "$CONFIG"
    MADE_CONFIG=yes
  fi
  run_agent "$1" check --config "$CONFIG"
}

# Moves $STAGE/agent to where it stays.
place() {
  if [ -d "$LIB/$VERSION" ]; then
    # The one that is there differs, or is a part of one.
    [ ! -f "$LIB/$VERSION/agent" ] || ln "$LIB/$VERSION/agent" "$STAGE/before" 2>/dev/null ||
      cp -p "$LIB/$VERSION/agent" "$STAGE/before"
    REPAIRED=yes
  else
    mkdir "$LIB/$VERSION"
    PLACED=yes
  fi
  mv -f "$STAGE/agent" "$LIB/$VERSION/agent"
}

# link FROM TO: a symlink whose place is never empty. FROM leads to a file, so that mv does not look into it.
link() {
  rm -f "$1.new"
  said=$(ln -s "$2" "$1.new" 2>&1) || cannot_write "$1" "$said"
  mv -f "$1.new" "$1"
}

# The files of the service, as `agent install systemd` makes them, and nobody else's.
service_files() {
  for file in "$UNITS/$SERVICE".* "$UNITS/$SERVICE"-*.* "/etc/sysusers.d/$SERVICE.conf" "/etc/tmpfiles.d/$SERVICE.conf"; do
    [ -f "$file" ] && [ ! -L "$file" ] && grep -q '^# Made by agent install systemd' "$file" || continue
    printf '%s\n' "$file"
  done
}

# The units among them that a boot starts, paths before services.
enabled_units() {
  for kind in path timer socket service; do
    service_files | while read -r file; do
      case $file in
        "$UNITS"/*".$kind") ! grep -q '^\[Install\]' "$file" || basename "$file" ;;
      esac
    done
  done
}

save_service() {
  mkdir -p "$STAGE/service"
  service_files >"$STAGE/files"
  while read -r file; do
    said=$(cp -p "$file" "$(saved "$file")" 2>&1) || cannot_write "$STAGE" "$said"
  done <"$STAGE/files"
}

# Where the copy of a file of the service is; two of them have the same last name.
saved() {
  printf '%s/service/%s' "$STAGE" "$(printf '%s' "$1" | tr / _)"
}

restore_service() {
  service_files | while read -r file; do
    grep -qxF "$file" "$STAGE/files" || rm -f "$file"
  done
  while read -r file; do
    # On a disk that is full, what is as it was needs no room.
    ! cmp -s "$(saved "$file")" "$file" || continue
    { cp -p "$(saved "$file")" "$file.new" && mv -f "$file.new" "$file"; } 2>/dev/null || {
      rm -f "$file.new"
      say "$file is not as it was: once there is room, run this again"
    }
  done <"$STAGE/files"
  systemctl daemon-reload || :
}

# Whether the service is other than it was.
service_changed() {
  service_files >"$STAGE/files.now"
  cmp -s "$STAGE/files" "$STAGE/files.now" || return 0
  while read -r file; do
    cmp -s "$file" "$(saved "$file")" || return 0
  done <"$STAGE/files"
  return 1
}

# Makes VERSION, which is in place, the one that runs; what goes wrong from here on is undone.
switch() {
  if [ -n "$SYSTEMD" ]; then
    save_service
    WAS_READY=''
    ! systemctl is-active --quiet "$SERVICE.service" || WAS_RUNNING=yes
    # An agent that waits for a token, or whose Director is away, is no worse for an upgrade.
    [ -z "$WAS_RUNNING" ] || [ -z "$OLD" ] ||
      ! "$AGENT" status --check --config "$CONFIG" >/dev/null 2>&1 || WAS_READY=yes
  fi
  make_directory "$PREFIX/bin"
  BEFORE=$(previous_version)
  SWITCHED=yes
  # First, so that --rollback finds it even if we are killed in the middle.
  [ -z "$OLD" ] || [ "$OLD" = "$VERSION" ] || link "$LIB/previous" "$LIB/$OLD/agent"
  [ "$OLD" = "$VERSION" ] || link "$AGENT" "$LIB/$VERSION/agent"
  [ -z "$SYSTEMD" ] || run_agent "$AGENT" install systemd --executable "$AGENT" --config "$CONFIG"
}

put_token() {
  [ -n "$TOKEN" ] || return 0
  make_directory "$ETC"
  rm -f "$ETC/token.new"
  said=$(umask 077 && printf '%s\n' "$TOKEN" 2>&1 >"$ETC/token.new") || cannot_write "$ETC/token" "$said"
  if [ -n "$SYSTEMD" ]; then
    chown "root:$SERVICE" "$ETC/token.new"
    chmod 640 "$ETC/token.new"
  fi
  mv -f "$ETC/token.new" "$ETC/token"
}

# Starts the service, or starts it again where something of it changed; gives false when it does not become ready.
start() {
  units=$(enabled_units)
  # shellcheck disable=SC2086 # Names of units have no blanks.
  said=$(systemctl enable --quiet $units 2>&1) || fail "Cannot enable the service: $(last_line "$said")"
  # With Type=notify systemctl waits until the agent says that it is ready, which it also is without a token.
  RESTARTED=yes
  # shellcheck disable=SC2086
  said=$(systemctl "$1" $units 2>&1) || return 1
  [ -n "$OLD" ] && [ "$1$WAS_RUNNING" != startyes ] || return 0
  process=$(main_process)
  for _ in 1 2 3; do
    sleep 1
    systemctl is-active --quiet "$SERVICE.service" && [ "$(main_process)" = "$process" ] || return 1
  done
  [ -z "$WAS_READY" ] ||
    "$AGENT" status --wait=ready --timeout=60 --config "$CONFIG" >/dev/null 2>&1
}

main_process() {
  systemctl show --property=MainPID --property=NRestarts "$SERVICE.service"
}

# Whether what runs is another executable: a run that was killed, or one with --no-start, has changed the symlink only.
runs_other() {
  process=$(systemctl show --property=MainPID "$SERVICE.service")
  running=$(readlink "/proc/${process#MainPID=}/exe") && [ "$running" != "$(readlink -f "$AGENT")" ]
}

run_service() {
  how=start
  if [ -n "$WAS_RUNNING" ]; then
    [ "$OLD" = "$VERSION" ] && [ -z "$REPAIRED" ] && ! service_changed && ! runs_other || how=restart
  fi
  ! start "$how" || return 0
  logs="journalctl -u $SERVICE --since -5min says why"
  if [ -n "$OLD" ] && { [ "$OLD" != "$VERSION" ] || [ -n "$REPAIRED" ]; }; then
    CODE=3
    fail "Cannot change from $OLD to $VERSION: it did not become ready" "$logs"
  fi
  why=$(last_line "$said")
  finish
  CODE=4
  fail "Cannot start $VERSION, which is installed: $why" \
    "$logs; then: systemctl restart $SERVICE"
}

# From here on there is nothing to undo. Keeps the version before, and no other.
finish() {
  PLACED='' REPAIRED='' MADE_CONFIG='' SWITCHED='' MADE=''
  kept=$(previous_version)
  for directory in "$LIB"/*/; do
    name=$(basename "$directory")
    [ -f "$directory/agent" ] && [ "$name" != "$VERSION" ] && [ "$name" != "$kept" ] || continue
    rm -f "$directory/agent"
    rmdir "$directory" || :
  done
}

previous_version() {
  target=$(readlink "$LIB/previous" 2>/dev/null) || return 0
  target=${target#"$LIB"/}
  printf '%s' "${target%/agent}"
}

# What ends without success ends as if it had never begun.
at_exit() {
  status=$?
  trap '' HUP INT TERM PIPE
  trap - EXIT
  set +e
  [ -z "$TERMINAL" ] || stty "$TERMINAL"
  # Without the lock nothing was begun, and what is there may be of another run.
  [ "$status" -eq 0 ] || [ -z "$STAGE" ] || undo
  [ -z "$STAGE" ] || rm -rf "$STAGE"
  # Only those that are empty again.
  [ "$status" -eq 0 ] || for directory in $MADE; do rmdir "$directory" 2>/dev/null; done
  exit "$status"
}

undo() {
  [ -z "$REPAIRED" ] || [ ! -f "$STAGE/before" ] || mv -f "$STAGE/before" "$LIB/$VERSION/agent"
  if [ -n "$SWITCHED" ]; then
    if [ -n "$OLD" ]; then link "$AGENT" "$LIB/$OLD/agent"; else rm -f "$AGENT"; fi
    if [ -n "$BEFORE" ]; then link "$LIB/previous" "$LIB/$BEFORE/agent"; else rm -f "$LIB/previous"; fi
    [ -z "$SYSTEMD" ] || undo_service
  fi
  [ -z "$PLACED" ] || rm -rf "${LIB:?}/$VERSION"
  [ -z "$MADE_CONFIG" ] || rm -f "$CONFIG"
  rm -f "$CONFIG.new" "$ETC/token.new" "$AGENT.new" "$LIB/previous.new"
}

undo_service() {
  # The service is of this run.
  [ -s "$STAGE/files" ] || stop_service 2>/dev/null
  restore_service
  if [ -z "$WAS_RUNNING" ] || [ -z "$RESTARTED" ]; then
    [ -z "$OLD" ] || say "$OLD stays as it was"
  elif systemctl restart "$SERVICE.service" 2>/dev/null; then
    say "${OLD:-what was there before} is back, and runs"
  else
    say "${OLD:-what was there before} is back, but does not run either"
  fi
}

# --- what it can be asked for --------------------------------------------------------------------------------------------

install() {
  need_root
  find_installed
  refuse_foreign
  find_systemd
  find_platform
  find_source
  need_openssl
  read_token
  stage
  open_release
  if [ -f "$LIB/$VERSION/agent" ] && [ "$(sha256 "$LIB/$VERSION/agent")" = "$(sum_of "agent-$PLATFORM")" ]; then
    configure "$LIB/$VERSION/agent"
  else
    fetch_executable
    configure "$STAGE/agent"
    place
  fi
  bring_up
}

rollback() {
  need_root
  find_installed
  find_systemd
  VERSION=$(previous_version)
  [ -n "$OLD" ] && [ -n "$VERSION" ] && [ -x "$LIB/$VERSION/agent" ] ||
    fail 'Cannot go back: no version before this one is kept' 'install it: --from with its release'
  read_token
  stage
  run_agent "$LIB/$VERSION/agent" check --config "$CONFIG"
  bring_up
}

# VERSION is in its place.
bring_up() {
  repaired=$REPAIRED
  switch
  put_token
  if [ -n "$SYSTEMD" ]; then
    ! service_changed || repaired=yes
    if [ -n "$START" ]; then
      [ -n "$WAS_RUNNING" ] && ! runs_other || repaired=yes
      run_service
    fi
  fi
  finish
  report
}

report() {
  case $OLD in
    '') say "installed $VERSION: $AGENT" ;;
    "$VERSION") say "$VERSION was installed already${repaired:+, and is repaired}" ;;
    *) say "changed from $OLD to $VERSION; sh install.sh --rollback goes back" ;;
  esac
  if [ -z "$SYSTEMD" ]; then
    [ -z "$WITH_SERVICE" ] || say 'this machine does not run systemd, so there is no service'
    say "run it: $AGENT --config $CONFIG"
  elif [ -z "$START" ]; then
    say "start it: systemctl enable $(enabled_units | tr '\n' ' ')&& systemctl restart $SERVICE"
  else
    say "look at it: systemctl status $SERVICE, $AGENT status --config $CONFIG"
  fi
  [ -e "$ETC/token" ] || [ -n "$OLD" ] ||
    say "it waits for a one-time token in $ETC/token; --token-stdin or --token-file puts it there"
}

uninstall() {
  need_root
  find_installed
  refuse_other
  find_systemd_at_all
  files=$(service_files)
  if [ -n "$files" ] && [ -n "$SYSTEMD" ]; then stop_service; fi
  outside=''
  [ -z "$PURGE" ] || outside=$(places_outside)
  for file in $files; do rm -f "$file"; done
  [ -z "$SYSTEMD" ] || systemctl daemon-reload
  said=$(rm -f "$AGENT" 2>&1) || cannot_write "$AGENT" "$said"
  [ ! -d "$LIB" ] || rm -rf "$LIB"
  # What --prefix made.
  case $PREFIX in
    */"$SERVICE") rmdir "$PREFIX/bin" "$PREFIX/lib" "$PREFIX" 2>/dev/null || : ;;
  esac
  if [ -n "$PURGE" ]; then
    purge
    say 'removed, with configuration and state'
  else
    say "removed; $ETC and $VAR stay, and --uninstall --purge removes them"
  fi
}

# One that is too old for us may still have been used by an older script.
find_systemd_at_all() {
  SYSTEMD=''
  [ ! -d /run/systemd/system ] || ! command -v systemctl >/dev/null || SYSTEMD=yes
}

stop_service() {
  for unit in $(enabled_units); do systemctl disable --quiet --now "$unit" || :; done
  for file in $(service_files); do
    case $file in
      "$UNITS"/*) systemctl stop "$(basename "$file")" || : ;;
    esac
  done
}

# Directories that agent.yaml names elsewhere. Others may keep something there, so they are named and not removed.
places_outside() {
  [ -f "/etc/tmpfiles.d/$SERVICE.conf" ] || return 0
  sed -n 's/^d \(.*\) [0-7]* [^ ]* [^ ]*$/\1/p' "/etc/tmpfiles.d/$SERVICE.conf" | while read -r place; do
    case $place in
      "$VAR" | "$VAR"/* | "$VAR-hooks" | "$ETC") ;;
      *) printf '%s\n' "$place" ;;
    esac
  done
}

purge() {
  # A mount point is emptied and stays.
  for directory in "$ETC" "$VAR" "$VAR-hooks"; do
    [ ! -L "$directory" ] || say "left, as $directory was a symlink to it: $(readlink "$directory")"
    [ ! -d "$directory" ] || rm -rf "$directory" 2>/dev/null || say "emptied, and left: $directory"
  done
  if [ -n "$outside" ]; then
    printf '%s\n' "$outside" | while read -r place; do say "left, as it lies elsewhere: $place"; done
    return
  fi
  # Nothing is left that belongs to the user.
  ! id "$SERVICE" >/dev/null 2>&1 ||
    userdel "$SERVICE" 2>/dev/null || deluser "$SERVICE" >/dev/null 2>&1 || say "left: the user $SERVICE"
}

main() {
  settings
  trap at_exit EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 141' PIPE
  trap 'exit 143' TERM
  parse "$@"
  case $ACTION in
    install) install ;;
    rollback) rollback ;;
    uninstall) uninstall ;;
  esac
}

# In braces, so that a part of the line is no command either.
{ main "$@"; }
