#!/bin/sh
# A machine with a real systemd as its first process (tests/support/booted.py).
#
#   boot.sh FOLDER GROUP SOURCE    boot it, its files below the empty folder FOLDER, its processes in the cgroup GROUP
#   boot.sh --clean FOLDER GROUP   remove the cgroup afterwards
#
# Its files are those of this machine, and what it writes stays in memory. It has namespaces of its own, and all that is
# mounted goes with them. SOURCE can be read in it as /mnt; its network is the loopback alone.
set -eu

groups() {
    # all cgroups below that of this process, at $1; the first process of these namespaces is the only one in them
    mount --make-rprivate /
    mount -t cgroup2 cgroup2 "$1"
    group=$1$(sed -n 's/^0:://p' /proc/self/cgroup)/$2
}

case $1 in
    --clean)
        groups "$2" "$3"
        [ ! -d "$group" ] || find "$group" -depth -type d -exec rmdir {} +
        exit
        ;;
    --inside) base=$2 source=$3 root=$2/root ;;
    *)
        groups "$1" "$2"
        mkdir "$group"
        echo $$ >"$group/cgroup.procs"
        umount "$1"
        exec unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup "$0" --inside "$1" "$3"
        ;;
esac

mount -t tmpfs -o mode=755 tmpfs "$base"
mkdir "$base/upper" "$base/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$base/upper,workdir=$base/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
for folder in dev run tmp; do
    mount -t tmpfs -o mode=755 tmpfs "$root/$folder"
done
chmod 1777 "$root/tmp"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount --bind "$source" "$root/mnt"
mount -o remount,bind,ro "$root/mnt"
ip link set lo up

# what this machine would start is not for the other
rm -rf "$root/etc/systemd/system" "$root/var/log/journal"
mkdir -m 2755 "$root/var/log/journal"
mkdir "$root/etc/systemd/system"
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-udevd-kernel.socket systemd-udevd-control.socket; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
cat >"$root/etc/systemd/system/machine.target" <<'UNIT'
[Unit]
Requires=basic.target systemd-logind.service systemd-user-sessions.service
After=basic.target systemd-logind.service systemd-user-sessions.service
UNIT
: >"$root/etc/fstab"
rm -f "$root"/var/lib/systemd/linger/*

cd "$root"
mkdir before
pivot_root . before
umount -l /before
rmdir /before
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=machine.target
