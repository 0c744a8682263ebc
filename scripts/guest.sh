#!/bin/sh
# Makes the test guest: target/guest/{vmlinux,initramfs.cpio,VERSION}.
#
#   vmlinux         Debian's cloud kernel, taken out of its bzImage: QEMU boots the ELF directly (PVH), which saves
#                   0.3 s a boot. The package is downloaded and unpacked, never installed.
#   initramfs.cpio  crates/guest as /init, the modules it loads, busybox for a look around. Not compressed: under
#                   emulation unpacking costs more than reading.
#   VERSION         kernel version, for reports and for the cache.
#
# Idempotent, no root. A second run with nothing changed uses no network and takes well under a second.
# Usage: scripts/guest.sh [--quiet]
set -eu
cd "$(dirname "$0")/.."
PATH=${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH
root=$PWD
out=$root/target/guest
triple=x86_64-unknown-linux-gnu

say() { echo "guest: $*" >&2; }
die() { say "$*"; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "$1 is missing; run scripts/setup.sh"; }

for program in apt-get dpkg-deb lz4 cpio cargo busybox; do need $program; done
mkdir -p "$out"

# --- the kernel -------------------------------------------------------------------------------------------------
# Modules in the order of loading (6.1 wants virtio_ring before virtio).
modules="virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci failover net_failover virtio_net virtio_blk"
# What a guest with a disk (th.disk) loads besides; Debian 12's cloud kernel has all of it built in.
disk_modules="crc16 crc32c_generic mbcache jbd2 ext4"

# The kernel's release out of the two-line VERSION file, or nothing.
cached() { sed -n 's/^kernel //p' "$out/VERSION" 2>/dev/null || true; }

fetch_kernel() {
    image=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/^ *Depends: *\(linux-image-[^ ]*\).*/\1/p' | head -n 1)
    [ -n "$image" ] || die "apt knows no linux-image-cloud-amd64; run apt-get update and try again"
    release=${image#linux-image-}
    release=${release%-unsigned}
    say "fetching $image (27 MB)"
    rm -rf "$out/new"
    mkdir -p "$out/new"
    (cd "$out/new" && apt-get -q -q download "$image" 2>"$out/new/apt.log") \
        || die "apt-get download $image failed: $(tail -n 1 "$out/new/apt.log")"
    dpkg-deb -x "$out"/new/linux-image-*.deb "$out/new/tree"
    extract_vmlinux "$out/new/tree/boot/vmlinuz-$release" "$out/new/vmlinux"
    mkdir -p "$out/new/modules"
    take_modules order $modules
    take_modules order-disk $disk_modules
    echo "$modules $disk_modules" >"$out/new/modules/wanted"
    rm -rf "$out/modules" "$out/initramfs.cpio"
    mv "$out/new/modules" "$out/modules"
    mv "$out/new/vmlinux" "$out/vmlinux"
    echo "kernel $release" >"$out/VERSION"
    rm -rf "$out/new"
}

# Copies modules that the kernel does not have built in, and notes their order in the file $1.
take_modules() {
    order=$out/new/modules/$1
    shift
    : >"$order"
    for module in "$@"; do
        ! grep -q "/$module\.ko\$" "$out/new/tree/lib/modules/$release/modules.builtin" || continue
        file=$(find "$out/new/tree/lib/modules/$release" -name "$module.ko*" | head -n 1)
        case $file in
            *.ko) cp "$file" "$out/new/modules/$module.ko" ;;
            *.ko.xz) xz -dc "$file" >"$out/new/modules/$module.ko" ;;
            *) die "$image has no module $module" ;;
        esac
        echo "$module.ko" >>"$order"
    done
}

# An unsigned little-endian number of $3 bytes at offset $2 of file $1.
number() { od -An -v -tu"$3" -j"$2" -N"$3" "$1" | tr -d ' '; }

# The compressed ELF lies in the bzImage at (setup_sects + 1) * 512 + payload_offset
# (Documentation/x86/boot.rst of the kernel: 0x1f1, 0x248, 0x24c).
extract_vmlinux() {
    sectors=$(number "$1" 497 1)
    offset=$(number "$1" 584 4)
    length=$(number "$1" 588 4)
    start=$(((sectors + 1) * 512 + offset))
    tail -c +$((start + 1)) "$1" | head -c "$length" >"$2.payload"
    case $(od -An -tx1 -N4 "$2.payload" | tr -d ' ') in
        02214c18) lz4 -dc "$2.payload" >"$2" 2>/dev/null || true ;; # its trailing length word makes lz4 complain
        28b52ffd) zstd -dc "$2.payload" >"$2" 2>/dev/null || true ;;
        *) die "the kernel's payload is neither LZ4 nor zstd" ;;
    esac
    rm "$2.payload"
    [ "$(head -c 4 "$2" | od -An -tx1 | tr -d ' ')" = 7f454c46 ] || die "no ELF kernel came out of $1"
}

# Another list of modules than that of last time is a reason to fetch as well.
[ -s "$out/vmlinux" ] && [ -n "$(cached)" ] && [ "$(cat "$out/modules/wanted" 2>/dev/null)" = "$modules $disk_modules" ] || fetch_kernel

# --- our program ------------------------------------------------------------------------------------------------
RUSTFLAGS='-C target-feature=+crt-static' \
    cargo build --quiet --locked --package guest --profile small --target $triple
init=$root/target/$triple/small/guest

# --- the initramfs ----------------------------------------------------------------------------------------------
busybox=$(command -v busybox)
if [ ! -s "$out/initramfs.cpio" ] || [ "$init" -nt "$out/initramfs.cpio" ] || [ "$out/modules/order" -nt "$out/initramfs.cpio" ] \
    || [ "$0" -nt "$out/initramfs.cpio" ]; then
    tree=$out/tree.$$
    trap 'rm -rf "$tree" "$out/initramfs.$$"' EXIT
    mkdir -p "$tree/bin" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/tmp"
    cp "$init" "$tree/init"
    cp "$busybox" "$tree/bin/busybox"
    ln -s busybox "$tree/bin/sh"
    cp -R "$out/modules" "$tree/modules"
    (cd "$tree" && find . -print | LC_ALL=C sort | cpio --quiet -o -H newc --owner=0:0) >"$out/initramfs.$$"
    mv "$out/initramfs.$$" "$out/initramfs.cpio"
    rm -rf "$tree"
fi
[ "${1:-}" = --quiet ] || say "kernel $(cached), $(($(wc -c <"$out/initramfs.cpio") / 1024)) KiB initramfs, in target/guest"
