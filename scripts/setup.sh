#!/bin/sh
# Installs what building, testing and the demo need on Debian 12 (newer Debians work too). Idempotent: with everything in
# place it checks in a tenth of a second and changes nothing. Uses root (or sudo) for packages only.
#
#   scripts/setup.sh          what the build, the lab and the demo need
#   scripts/setup.sh --test   also tshark and cargo-deny (into target/tools) for `make test`
#   scripts/setup.sh --check  install nothing, say what is missing, fail if anything is
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin
export PATH

test_tools=no
check_only=no
for argument in "$@"; do
    case $argument in
        --test) test_tools=yes ;;
        --check) check_only=yes ;;
        *) echo "usage: scripts/setup.sh [--test] [--check]" >&2; exit 2 ;;
    esac
done

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

# A program of each package shows whether the package is there.
wanted="ovs-vswitchd:openvswitch-switch ovs-ofctl:openvswitch-common ovsdb-server:openvswitch-switch busybox:busybox-static
    cpio:cpio lz4:lz4 zstd:zstd xz:xz-utils ip:iproute2 ethtool:ethtool nft:nftables ping:iputils-ping ps:procps iperf3:iperf3
    unshare:util-linux mke2fs:e2fsprogs python3:python3 gcc:gcc make:make pkg-config:pkg-config
    update-ca-certificates:ca-certificates
    /usr/lib/ipsec/charon:strongswan-charon swanctl:strongswan-swanctl openvpn:openvpn"

# What only tests run: independent implementations of protocols, servers of names and addresses.
wanted_by_tests="tshark:tshark wireguard-go:wireguard-go wg:wireguard-tools knotd:knot kdig:knot-dnsutils dnsmasq:dnsmasq-base"

# QEMU's live migration as we drive it was measured on 10.0; Debian 12 has that in its backports only.
qemu_least=10
qemu_packages="qemu-system-x86 qemu-system-common qemu-system-data qemu-utils seabios"

# What `lab compare` measures against, and what agents built with the feature `libvirt` drive. Debian 12's own libvirt is two
# years older than that QEMU.
libvirt_packages="libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients libvirt-dev"

qemu_major() {
    qemu-system-x86_64 --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\).*/\1/p'
}

qemu_is_good() {
    found=$(qemu_major)
    [ "${found:-0}" -ge $qemu_least ] && command -v qemu-img >/dev/null 2>&1
}

libvirt_is_there() {
    command -v libvirtd >/dev/null 2>&1 && command -v virsh >/dev/null 2>&1 && [ -e /usr/include/libvirt/libvirt-qemu.h ] \
        && ls /usr/lib/*/libvirt/connection-driver/libvirt_driver_qemu.so >/dev/null 2>&1
}

missing_packages() {
    [ $test_tools = no ] || wanted="$wanted $wanted_by_tests"
    for pair in $wanted; do
        command -v "${pair%%:*}" >/dev/null 2>&1 || echo "${pair#*:}"
    done | sort -u
    [ -e /usr/include/stdlib.h ] || echo libc6-dev
    # Plugins of strongSwan's daemon: ESP in user space, Curve25519, AES-GCM.
    [ -e /usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so ] || echo libcharon-extra-plugins
    [ -e /usr/lib/ipsec/plugins/libstrongswan-curve25519.so ] || echo libstrongswan-extra-plugins
    [ -e /usr/lib/ipsec/plugins/libstrongswan-openssl.so ] || echo libstrongswan-standard-plugins
    # busybox has to run in an initramfs without libraries, and Debian's `busybox` is linked to libc.
    if command -v busybox >/dev/null 2>&1 && ldd "$(command -v busybox)" >/dev/null 2>&1; then echo busybox-static; fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o APT::Install-Recommends=false "$@" </dev/null
}

# Runs apt and shows its output only if it fails.
quietly() {
    log=$(mktemp)
    if ! "$@" >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# Entries of apt's index for this suite, as `file:number` of the source entry.
source_entry() {
    apt-get indextargets --format '$(SOURCESENTRY)' 'Created-By: Packages' "Codename: $1" 'Component: main' 2>/dev/null | head -n 1
}

# Adds CODENAME-backports with the address and the signing key of this machine's own CODENAME entry.
add_backports() {
    entry=$(source_entry "$codename")
    file=${entry%:*}
    number=${entry##*:}
    [ -r "$file" ] || die "apt has no source for $codename main here; add $codename-backports to its sources and run this again"
    name=/etc/apt/sources.list.d/$codename-backports
    case $file in
        *.sources)
            name=$name.sources
            content=$(awk -v RS= -v number="$number" 'NR == number' "$file" | sed -e '/^#/d' \
                -e "s/^Types:.*/Types: deb/" -e "s/^Suites:.*/Suites: $codename-backports/" -e "s/^Components:.*/Components: main/")
            ;;
        *)
            name=$name.list
            content=$(sed -n "${number}p" "$file" | sed -E "s/^(deb +(\[[^]]*\] +)?[^ ]+) .*/\1 $codename-backports main/")
            ;;
    esac
    case $content in *"$codename-backports"*) ;; *) die "cannot read the entry $entry of apt's sources; add $codename-backports by hand and run this again" ;; esac
    say "adding $name, a copy of this machine's $codename entry"
    printf '%s\n' "$content" | as_root tee "$name" >/dev/null
}

install_packages() {
    command -v apt-get >/dev/null 2>&1 || die "this is no Debian; install these by hand and run this again: $missing"
    [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1 \
        || die "packages are missing ($(echo $missing | tr '\n' ' ')) and there is no sudo; run scripts/setup.sh as root once"
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    had_switch=no had_libvirt=no had_knot=no had_ipsec=no had_openvpn=no
    command -v knotd >/dev/null 2>&1 && had_knot=yes
    command -v ovs-vswitchd >/dev/null 2>&1 && had_switch=yes
    command -v libvirtd >/dev/null 2>&1 && had_libvirt=yes
    [ -e /usr/lib/ipsec/charon ] && had_ipsec=yes
    command -v openvpn >/dev/null 2>&1 && had_openvpn=yes
    say "will install with apt:" $missing
    quietly apt update || die "apt-get update failed; mend the machine's apt sources and run this again"
    selected=
    for package in $missing; do
        case " $qemu_packages $libvirt_packages " in
            *" $package "*) selected="$selected $package$from" ;;
            *) selected="$selected $package" ;;
        esac
    done
    # Only what was asked for may come from backports: the whole suite would also upgrade systemd and others.
    plan=$(apt -s install $selected 2>&1) || die "apt cannot install these: $(echo "$plan" | tail -n 3)"
    if echo "$plan" | grep -q '^Remv '; then
        die "apt would remove $(echo "$plan" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | tr '\n' ' '); install by hand: $selected"
    fi
    quietly apt install $selected || die "apt-get install failed, see above"
    if [ $had_switch = no ] && [ -d /run/systemd/system ]; then
        # We start switches of our own; the system's one came with the package only.
        as_root systemctl disable --quiet --now openvswitch-switch.service 2>/dev/null || true
    fi
    if [ $had_knot = no ] && command -v knotd >/dev/null 2>&1 && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet --now knot.service 2>/dev/null || true
    fi
    if [ $had_ipsec = no ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet --now strongswan-starter.service 2>/dev/null || true
    fi
    if [ $had_openvpn = no ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet --now openvpn.service 2>/dev/null || true
    fi
    if [ $had_libvirt = no ] && [ -d /run/systemd/system ]; then
        as_root systemctl disable --quiet --now libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket \
            virtlogd.service virtlogd.socket virtlogd-admin.socket 2>/dev/null || true
    fi
}

# --- packages ---------------------------------------------------------------------------------------------------
missing=$(missing_packages)
from=
newest=
qemu_is_good || newest="$newest $qemu_packages"
libvirt_is_there || newest="$newest $libvirt_packages"
missing="$missing $newest"
if [ -n "$(echo $missing)" ]; then
    [ $check_only = no ] || die "missing packages:" $missing
    if [ -n "$newest" ] && command -v apt-get >/dev/null 2>&1; then
        codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
        if [ "$codename" = bookworm ]; then
            [ "$(id -u)" = 0 ] || command -v sudo >/dev/null 2>&1 || die "QEMU $qemu_least or libvirt is missing and there is no sudo; run scripts/setup.sh as root once"
            [ -n "$(source_entry bookworm)" ] || quietly apt update || die "apt-get update failed; mend the machine's apt sources and run this again"
            [ -n "$(source_entry bookworm-backports)" ] || add_backports
            from=/bookworm-backports
        fi
    fi
    install_packages
    left=$(missing_packages)
    [ -z "$left" ] || die "still missing after the installation:" $left
    qemu_is_good || die "QEMU $qemu_least or newer is needed and apt gave $(qemu_major); see docs for building it"
    libvirt_is_there || die "libvirt is not complete after the installation; look at \`dpkg -l 'libvirt*'\`"
fi

# --- the machine ------------------------------------------------------------------------------------------------
if [ ! -e /dev/net/tun ]; then
    die "/dev/net/tun is missing; load the module (modprobe tun), or start the container with --device /dev/net/tun"
elif ! (: <>/dev/net/tun) 2>/dev/null; then
    die "/dev/net/tun is not usable by $(id -un); run \`chmod 0666 /dev/net/tun\` as root, or run this as root"
fi
if [ "$(id -u)" = 0 ]; then
    unshare --net --mount true 2>/dev/null || die "namespaces are refused to root here; in a container, allow it unshare (CAP_SYS_ADMIN)"
else
    unshare --user --map-root-user --net true 2>/dev/null \
        || die "user namespaces are refused here; run \`sysctl -w kernel.unprivileged_userns_clone=1\` as root"
fi

# --- Rust -------------------------------------------------------------------------------------------------------
command -v cargo >/dev/null 2>&1 \
    || die "cargo is missing; install rustup (its own installer, or the package rustup of Debian 13) and run this again"
if ! problem=$(cargo --version 2>&1); then
    die "cargo does not start: $(echo "$problem" | head -n 1); \`rustup toolchain install\` in this folder installs the pinned one"
fi
if [ $test_tools = yes ]; then
    for part in fmt clippy; do
        cargo $part --version >/dev/null 2>&1 || die "cargo $part is missing; run \`rustup component add rustfmt clippy\`"
    done
    if ! PATH=$PWD/target/tools/bin:$PATH command -v cargo-deny >/dev/null 2>&1; then
        [ $check_only = no ] || die "cargo-deny is missing"
        say "installing cargo-deny into target/tools (about a minute)"
        # Without optimisation: it builds four times faster and still checks in two seconds.
        CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=$PWD/target/tools/build \
            quietly cargo install --quiet --locked --debug --root target/tools --version '^0.20' cargo-deny \
            || die "cargo install cargo-deny failed, see above; it needs the crates registry"
        rm -rf target/tools/build
    fi
fi
