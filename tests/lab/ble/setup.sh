#!/bin/sh
# setup.sh WORK: what the Bluetooth lab needs besides the project's virtualenv.
# Installs packages (root), takes the parts of Debian's kernel that the guest needs (47 MB), and
# leaves WORK/vmlinuz and WORK/initrd.img. Does nothing that is done already.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$1
mkdir -p "$work"
[ -f "$work/initrd.img" ] && [ "$work/initrd.img" -nt "$here/mkinitrd.sh" ] && command -v qemu-system-x86_64 >/dev/null && exit 0
apt-get install -y -qq --no-install-recommends \
    qemu-system-x86 busybox-static bluez dbus iproute2 kmod cpio zstd xz-utils >/dev/null
image=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)$/\1/p' | head -1)
cd "$work"
if [ ! -f vmlinuz ]; then
    apt-get download -qq "$image" 2>/dev/null
    rm -rf tree
    mkdir tree
    # only what mkinitrd.sh can ask for: 40 MB instead of 400
    dpkg-deb --fsys-tarfile "$image"_*.deb | tar -x -C tree --wildcards \
        './boot/vmlinuz*' './lib/modules/*/modules.*' './lib/modules/*/kernel/crypto' \
        './lib/modules/*/kernel/lib' './lib/modules/*/kernel/arch' './lib/modules/*/kernel/net/9p' \
        './lib/modules/*/kernel/net/bluetooth' './lib/modules/*/kernel/net/rfkill' \
        './lib/modules/*/kernel/drivers/bluetooth' './lib/modules/*/kernel/drivers/virtio' \
        './lib/modules/*/kernel/drivers/hid' './lib/modules/*/kernel/drivers/char' \
        './lib/modules/*/kernel/fs/9p' './lib/modules/*/kernel/fs/netfs' \
        './lib/modules/*/kernel/fs/fscache' './lib/modules/*/kernel/fs/overlayfs'
    rm "$image"_*.deb
    cp tree/boot/vmlinuz-* vmlinuz
fi
sh "$here/mkinitrd.sh" "$work/tree" "$work/initrd.img"
