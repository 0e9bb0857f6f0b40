#!/bin/sh
# mkinitrd.sh TREE OUT: busybox and just the modules that the guest needs.
# TREE is an unpacked linux-image package (boot/ and lib/modules/).
set -eu
tree=$1
out=$2
release=$(ls "$tree/lib/modules")
depmod -b "$tree" "$release" 2>/dev/null
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/proc" "$work/sys" "$work/dev" "$work/ro" "$work/ov" "$work/new"
cp /bin/busybox "$work/bin/busybox"
for name in sh mount mkdir modprobe switch_root; do ln -s busybox "$work/bin/$name"; done
# Without ecb, cmac and algif_* bluetoothd ignores every adapter.
modules="virtio_pci virtio_rng virtio_console overlay 9pnet_virtio 9p
    bluetooth hci_vhci cmac ecdh_generic algif_hash algif_skcipher ecb uhid"
for module in $modules; do
    modprobe -d "$tree" -S "$release" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
done | sort -u | while read -r file; do
    place="$work/lib/modules/${file#*/lib/modules/}"
    mkdir -p "$(dirname "$place")"
    cp "$file" "$place"
done
find "$work/lib/modules" -name '*.ko.xz' -exec xz -d {} +
find "$work/lib/modules" -name '*.ko.zst' -exec zstd -q -d --rm {} +
cp "$tree/lib/modules/$release/modules.order" "$tree/lib/modules/$release/modules.builtin" \
    "$work/lib/modules/$release/"
depmod -b "$work" "$release" 2>/dev/null
cat > "$work/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in virtio_pci overlay 9pnet_virtio 9p; do modprobe $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro root /ro
mount -t tmpfs -o mode=755 tmpfs /ov
mkdir /ov/up /ov/work
mount -t overlay -o lowerdir=/ro,upperdir=/ov/up,workdir=/ov/work overlay /new
for module in hci_vhci cmac ecb ecdh_generic algif_hash algif_skcipher virtio_rng \
    virtio_console uhid; do modprobe $module || echo "no module $module"; done
for word in $(/bin/busybox cat /proc/cmdline); do
    case $word in lab.init=*) init=${word#lab.init=} ;; esac
done
mount --move /proc /new/proc
mount --move /sys /new/sys
mount --move /dev /new/dev
exec switch_root /new /bin/sh "$init"
INIT
chmod +x "$work/init"
(cd "$work" && find . | cpio -o -H newc --quiet | zstd -q -3 -c) > "$out.new"
mv "$out.new" "$out"
