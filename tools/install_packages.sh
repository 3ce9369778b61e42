#!/bin/sh
# install_packages.sh PACKAGE...: installs what is missing of these Debian packages when it may (root, or sudo without a
# password), and otherwise says what to install. Programs that are there already count for their package.
set -eu

have() {
    case $1 in
    golang-go) command -v go >/dev/null 2>&1 || [ -x /usr/local/go/bin/go ] ;;
    nodejs) command -v node >/dev/null 2>&1 ;;
    nginx-light) command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] ;;
    python3-dev) "${PYTHON:-python3}" -c 'import os, sysconfig
raise SystemExit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ;;
    python3-venv) "${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null ;;
    *) dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed' ;;
    esac
}

if ! command -v apt-get >/dev/null 2>&1; then
    exit 0 # not a Debian system: setup.py names the libraries if one is missing
fi
missing=
for package in "$@"; do
    have "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
echo "installing:$missing"
if [ "$(id -u)" = 0 ]; then
    run=
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    run=sudo
else
    echo "please run: sudo apt-get install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # lists of words
$run apt-get install -y -qq --no-install-recommends $missing >/dev/null 2>&1 || {
    $run apt-get update -qq
    $run apt-get install -y -qq --no-install-recommends $missing >/dev/null
}
