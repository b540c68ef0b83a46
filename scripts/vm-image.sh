#!/usr/bin/env bash
# Makes what the virtual machine boots, in a cache (JOBLET_CACHE, ~/.cache/joblet otherwise): Debian 12's 6.1 cloud kernel,
# downloaded and unpacked but never installed; an initramfs with busybox and the modules for the disk; a root file system
# with this machine's own packages, so that binaries built here run there. Prints the directory. Needs no mount, no loop
# device and, once the kernel is there, no network.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_root
cache=${JOBLET_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/joblet}
modules=(virtio_pci virtio_blk ext4 crc32c_generic overlay nf_tables nft_chain_nat nft_ct nft_fib_inet nft_masq nft_meta_bridge veth bridge loop)

fetch_kernel() {
    local package
    if [ ! -f "$cache/kernel/version" ]; then
        rm -rf "$cache/kernel" && mkdir -p "$cache/kernel"
        package=$(apt-cache depends --important linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" {print $2; exit}')
        if [ -z "$package" ]; then
            apt-get update -q >/dev/null
            package=$(apt-cache depends --important linux-image-cloud-amd64 | awk '$1 == "Depends:" {print $2; exit}')
        fi
        # apt's own sandbox user may not write here, and says so.
        (cd "$cache/kernel" && { apt-get download -q "$package" || { apt-get update -q && apt-get download -q "$package"; }; }) \
            >"$cache/kernel.log" 2>&1 || { cat "$cache/kernel.log" >&2; die "cannot download $package"; }
        dpkg-deb -x "$cache"/kernel/linux-image-*.deb "$cache/kernel/root"
        rm -f "$cache"/kernel/*.deb
        busybox depmod -b "$cache/kernel/root" "${package#linux-image-}"
        echo "${package#linux-image-}" >"$cache/kernel/version"
    fi
    version=$(cat "$cache/kernel/version")
}

make_initramfs() {
    local tree=$cache/initramfs.tree base=$cache/kernel/root/lib/modules/$version name
    rm -rf "$tree" && mkdir -p "$tree/bin" "$tree/modules"
    cp /bin/busybox "$tree/bin/busybox"
    cp "$ROOT/scripts/vm/initramfs-init" "$tree/init"
    for name in "${modules[@]}"; do
        # modules.dep names a module and what it needs, the last first.
        grep -E "/${name//_/[-_]}\.ko:" "$base/modules.dep" | tr -d : | tr ' ' '\n' | tac || true
    done | awk 'NF && !seen[$0]++' >"$tree/modules/paths"
    while read -r path; do
        cp "$base/$path" "$tree/modules/"
        basename "$path" >>"$tree/modules/order"
    done <"$tree/modules/paths"
    (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$cache/initramfs"
    rm -rf "$tree"
}

make_root() {
    local tree=$cache/root.tree key
    key=$(/usr/bin/python3 "$ROOT/scripts/vm/root_files.py" --key)
    [ -f "$cache/root.img" ] && [ "$key" = "$(cat "$cache/root.key" 2>/dev/null)" ] && return
    rm -rf "$tree" && mkdir -p "$tree"/{proc,sys,dev,run,tmp,var/tmp,root,joblet,opt}
    chmod 1777 "$tree/tmp" "$tree/var/tmp"
    /usr/bin/python3 "$ROOT/scripts/vm/root_files.py" |
        tar -C / --no-recursion --files-from=- -cf - 2>/dev/null | tar -C "$tree" -xpf -
    cp -a /etc/ssl/certs/. "$tree/etc/ssl/certs/"
    cp -a /etc/alternatives/. "$tree/etc/alternatives/"
    printf 'root:x:0:0::/root:/bin/bash\nnobody:x:65534:65534::/:/usr/sbin/nologin\n' >"$tree/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$tree/etc/hosts"
    : >"$tree/etc/resolv.conf"
    ldconfig -r "$tree"
    # Under emulation Python's compiler is slow: bring what it makes.
    /usr/bin/python3 -m compileall -q -s "$tree" -p / "$tree"/usr/lib/python3*/ >/dev/null || true
    rm -f "$cache/root.img"
    mke2fs -q -t ext4 -L root -E lazy_itable_init=1,root_owner=0:0 -d "$tree" "$cache/root.img" 3g >/dev/null
    rm -rf "$tree"
    echo "$key" >"$cache/root.key"
}

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
fetch_kernel
make_initramfs
make_root
echo "$cache"
