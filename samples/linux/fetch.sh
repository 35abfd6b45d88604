#!/bin/bash
# Fetches a kernel that nobody built for armvcpu, and makes a small initial RAM disk for it.
#
#   samples/linux/fetch.sh [DIRECTORY]            (default: build, next to this script)
#
# leaves DIRECTORY/vmlinuz (Debian's linux-image-cloud-arm64, unmodified) and DIRECTORY/initrd.gz (busybox and the
# script init beside this one).  Then:
#
#   armvcpu run --initrd samples/linux/build/initrd.gz --append console=ttyAMA0 samples/linux/build/vmlinuz
#
# It needs a Debian or Ubuntu with Python 3.  It does nothing if both files are there; delete them to start again.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/build}
kernel_package=linux-image-cloud-arm64
busybox_package=busybox-static

if [ -e "$out/vmlinuz" ] && [ -e "$out/initrd.gz" ]; then
    echo "$out: vmlinuz and initrd.gz are there already"
    exit 0
fi

fail() {
    echo "fetch.sh: $*" >&2
    exit 1
}

for tool in apt-get apt-cache dpkg dpkg-deb python3; do
    command -v "$tool" >/dev/null || fail "$tool is missing; this script needs Debian's packages"
done

# The package lists of arm64: only root can have them fetched.
have_lists() {
    apt-cache show "$kernel_package:arm64" >/dev/null 2>&1 && apt-cache show "$busybox_package:arm64" >/dev/null 2>&1
}
if ! have_lists; then
    if [ "$(id -u)" -ne 0 ]; then
        fail "the package lists of arm64 are missing; as root, run
    dpkg --add-architecture arm64
    apt-get update"
    fi
    dpkg --add-architecture arm64
    apt-get update
    have_lists || fail "no $kernel_package or $busybox_package for arm64 in this distribution's archive"
fi

# linux-image-cloud-arm64 has no files; it depends on the package of the current version.
image_package=$(apt-cache show --no-all-versions "$kernel_package:arm64" |
    sed -n 's/^Depends: *\(linux-image-[^ ,]*-cloud-arm64\).*/\1/p' | head -n 1)
[ -n "$image_package" ] || fail "$kernel_package:arm64 does not say which kernel it stands for"

mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work" # apt-get as root downloads as the user _apt

cd "$work"
mkdir packages root
chmod 777 packages
(cd packages && apt-get -q download "$image_package:arm64" "$busybox_package:arm64")
for package in packages/*.deb; do
    dpkg-deb -x "$package" root
done

# Move into place under the final names only what is complete.
python3 "$here/initramfs.py" --busybox root/bin/busybox --init "$here/init" -o "$out/initrd.gz.new"
cp root/boot/vmlinuz-* "$out/vmlinuz.new"
mv "$out/initrd.gz.new" "$out/initrd.gz"
mv "$out/vmlinuz.new" "$out/vmlinuz"
ls -l "$out/vmlinuz" "$out/initrd.gz"
