# What a hostile hook tries in a build. It runs in the builder root as its root, before anything is installed. Each attempt
# prints one line:
#
#     attempt NAME: refused (what was seen)
#     attempt NAME: ESCAPE (what was seen)
#
# The names are for good: docs/ESCAPES.md has a row for each, and a test compares. It needs a shell and perl, which every
# Debian has. @NAME@ is filled in by the test.
refused() { echo "attempt $1: refused ($2)"; }
escape() { echo "attempt $1: ESCAPE ($(echo "$2" | tr '\n' ' '))"; }
# attempt NAME COMMAND: an escape when the command succeeds.
attempt() {
    name=$1
    shift
    if seen=$("$@" 2>&1); then escape "$name" "$*: $seen"; else refused "$name" "$(printf %s "$seen" | tail -n 1 | cut -c 1-120)"; fi
}
# call NAME ERRNOS NUMBER ARGUMENTS: a system call that must fail with one of the errnos.
call() {
    perl -e '
        my ($name, $errnos, @words) = @ARGV;
        my @arguments = map { /^-?[0-9]+$/ ? $_ + 0 : $_ eq "NULL" ? 0 : "$_\0" } @words;
        my $result = syscall(shift @arguments, @arguments);
        my $code = $! + 0;
        my %expected = map { $_ => 1 } split /,/, $errnos;
        my $ok = $result == -1 && $expected{$code};
        print "attempt $name: ", $ok ? "refused" : "ESCAPE", " (result $result, errno $code)\n";' "$@"
}

# --- secrets

if grep -q '[:]\$[0-9a-z]*\$' /etc/shadow /etc/gshadow /etc/shadow- /etc/gshadow- 2>/dev/null; then
    escape shadow-hashes "$(grep -c '[:]\$' /etc/shadow)"
else refused shadow-hashes "$(wc -l </etc/shadow) locked accounts"; fi

found=$(find /home /root /srv /boot /mnt /media /var/lib/postgresql /var/lib/docker /var/log /var/spool -type f ! -path '/var/log/apt/*' 2>/dev/null | head -n 3)
[ -z "$found" ] && refused private-directories "nothing there" || escape private-directories "$found"

# Readable here, and not for an ordinary user of the host: the mode is the host's. What we and the build made is not meant.
found=$(find /etc /usr /opt /var/lib/dpkg /var/lib/apt /var/cache -xdev ! -perm -o+r ! -type l ! -newerct "@@STARTED@" -size +0 2>/dev/null |
    grep -v -e '^/etc/g\?shadow$' | head -n 3)
[ -z "$found" ] && refused unreadable-files "none has a name" || escape unreadable-files "$found"

found=$(ls -A /opt/joblet 2>/dev/null | grep -vx runtimes; ls -A /opt/joblet/runtimes 2>/dev/null | grep -vx -e '@NAME@' -e '@LANGUAGE@')
[ -z "$found" ] && refused prefix-contents "its own runtime alone" || escape prefix-contents "$found"
if [ -e '@PREFIX@' ]; then escape prefix-path '@PREFIX@'; else refused prefix-path "not there"; fi
if [ -e '@CANARY@' ]; then escape host-file '@CANARY@'; else refused host-file "not there"; fi
printf '%s%s' '@SECRET_1@' '@SECRET_2@' >/tmp/pattern
found=$(grep -rlsFf /tmp/pattern /etc /run /var/tmp /work /dev/shm /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null | head -n 3)
[ -z "$found" ] && refused host-secret "found nowhere" || escape host-secret "$found"

# --- processes

found=$(ls /proc | grep -c '^[0-9]*$')
[ "$found" -lt 12 ] && refused host-processes "$found processes" || escape host-processes "$found"
[ "$(cat /proc/1/comm)" = joblet-init ] && refused process-1 joblet-init || escape process-1 "$(cat /proc/1/comm)"
for file in environ maps mem fd/5 root/etc/passwd cwd exe; do
    attempt "process-1-${file%%/*}" head -c 1 "/proc/1/$file"
done
driver=$(awk '$1 == "PPid:" { print $2 }' /proc/$$/status)
for file in mem environ maps; do
    attempt "driver-$file" head -c 1 "/proc/$driver/$file"
done
attempt driver-descriptors ls "/proc/$driver/fd/1/"
attempt write-driver-output sh -c "echo '@done' >/proc/$driver/fd/1"
call ptrace-driver 1,3,38 101 16 "$driver" 0 0
call read-driver-memory 1,3,38 310 "$driver" NULL 0 NULL 0 0
kill -KILL 1 2>/dev/null
[ -d /proc/1 ] && refused kill-process-1 "it lives" || escape kill-process-1 "it is gone"
call limits-of-process-1 1,3 302 1 7 NULL NULL

# --- the kernel

call mount-tmpfs 1 165 none /mnt tmpfs 0 NULL
call unmount-proc 1,22 166 /proc 2
call remount-root 1 165 none / none 32 NULL
call pivot-root 1 155 / /mnt
call fsopen 1,38 430 tmpfs 0
call open-tree 1,38 428 -100 /etc 1
call unshare-mounts 1 272 131072
call unshare-user 1,28 272 268435456
call setns 1,9 308 0 0
call bpf 1 321 0 NULL 0
call perf 1 298 NULL 0 -1 -1 0
call load-module 1 313 0 "" 0
call kexec 1 246 0 0 NULL 0
call reboot 1 169 -18751827 672274793 19088743 NULL
call swap-on 1 167 /etc/passwd 0
call set-host-name 1 170 evil 4
call set-time 1 164 NULL NULL
call key 1,38 250 0 -3 0
call io-uring 1,38 425 1 NULL
call userfaultfd 1,38 323 0
call open-by-handle 1 304 -100 NULL 0
call syslog 1 103 3 NULL 0
call quota 1 179 0 NULL 0 NULL
call device-block 1,13 133 /tmp/disk 24960 65024
call device-memory 1,13 133 /tmp/mem 8576 257
call device-whiteout 1,13 133 /tmp/whiteout 8192 0
for file in /proc/sys/kernel/core_pattern /proc/sys/kernel/modprobe /proc/sysrq-trigger /proc/sys/kernel/hostname /proc/sys/vm/drop_caches /proc/sys/net/ipv4/ip_forward; do
    attempt "write-$(basename "$file" | tr _ -)" sh -c "echo x >$file"
done
attempt release-agent sh -c 'ls /sys/fs/cgroup/*'
touch /usr/x
attempt overlay-attribute perl -e 'exit(syscall(188, "/usr/x\0", "trusted.overlay.opaque\0", "y", 1, 0) == 0 ? 0 : 1)'
rm -f /usr/x
cp /bin/cat /tmp/cat && chmod 4755 /tmp/cat
attempt set-id su -s /bin/sh nobody -c '/tmp/cat /etc/shadow'

# --- sockets and networks

found=$(find /run /var/run/ -type s 2>/dev/null | head -n 3)
[ -z "$found" ] && refused host-sockets "none" || escape host-sockets "$found"
found=$(grep -c @ /proc/net/unix)
[ "$found" -eq 0 ] && refused abstract-sockets none || escape abstract-sockets "$found"
connect() {
    timeout 3 perl -e 'use IO::Socket::INET; IO::Socket::INET->new(PeerAddr => $ARGV[0], Timeout => 2) or die "$@\n"' "$1"
}
attempt metadata-address connect 169.254.169.254:80
attempt host-service connect '@HOST_SERVICE@'
gateway=$(awk '$2 == "00000000" { print $3 }' /proc/net/route | head -n 1 | sed 's/\(..\)\(..\)\(..\)\(..\)/0x\4 0x\3 0x\2 0x\1/' | xargs printf '%d.%d.%d.%d')
attempt gateway-service connect "$gateway:@HOST_PORT@"
attempt other-loopback connect '127.0.0.1:@HOST_PORT@'
call raw-socket 1,38,93,94,97 41 2 3 1
call packet-socket 1,38,93,94,97 41 17 3 768
attempt add-address ip addr add 192.0.2.99/32 dev lo
attempt delete-route ip route del unreachable 169.254.0.0/16
attempt flush-rules nft flush ruleset

# --- what must work, or the attempts above say nothing

ok() { echo "works $1: $2"; }
id -u | grep -qx 0 && ok root "$(id -u)"
touch /etc/joblet-hostile /usr/bin/joblet-hostile /var/lib/dpkg/joblet-hostile && ok write "system directories"
chown nobody:nogroup /etc/joblet-hostile && ok chown "$(stat -c %u /etc/joblet-hostile)"
useradd -m hostile && su -s /bin/sh hostile -c 'id -un' | grep -qx hostile && ok useradd "$(id -u hostile)"
chroot / /bin/true && ok chroot /
mkfifo /tmp/fifo && ok fifo /tmp/fifo
echo "changed" >>/etc/passwd && ok passwd "appended"
[ "$(sed -n 's/^CapEff:\t//p' /proc/self/status)" = "00000000800400fb" ] && ok capabilities nine
