#!/bin/sh
# A hook of tests/e2e/test_build_packages.py: installs the packages, then does by hand what their scripts do. One line for each:
# works NAME: what was seen, or fails NAME: why.
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
cd /work || exit 1

try() { # try NAME SCRIPT: the script's last line is what was seen
    if said=$(sh -ec "$2" 2>&1); then echo "works $1: $(printf '%s\n' "$said" | tail -1)"
    else echo "fails $1: $(printf '%s' "$said" | tail -3 | tr '\n' ' ')"; fi
}

begun=$(date +%s)
apt-get install -y --reinstall --no-install-recommends @PACKAGES@ 2>&1 || echo "fails packages: apt-get ended with $?"
echo "apt-get took $(($(date +%s) - begun)) s"

try packages 'n=0; for p in @PACKAGES@; do [ "$(dpkg-query -W -f "\${Status}" $p)" = "install ok installed" ] || { echo $p; exit 1; }
    n=$((n + 1)); done; echo $n installed'
try audit '[ -z "$(dpkg --audit)" ]; dpkg --verify adduser sudo; apt-get check >/dev/null; echo nothing to do'
try status 'n=$(dpkg-query -W -f "\${Status}\n" | grep -vc -e "^install ok installed" -e "config-files$" || true); [ $n = 0 ]; echo whole'

# Users and owners.
try useradd 'useradd -m -s /bin/sh -G games visitor; echo visitor:secret | chpasswd; [ "$(stat -c %U:%G /home/visitor)" = visitor:visitor ]; id visitor'
try su '[ "$(su -s /bin/sh visitor -c "id -un; touch ~/mine" | tail -1)" = visitor ]; stat -c %U ~visitor/mine'
try setpriv 'setpriv --reuid=visitor --regid=visitor --init-groups sh -c "id -Gn"'
try chown 'touch f; chown visitor:games f; chmod 6755 f; [ "$(stat -c %U:%G:%a f)" = visitor:games:6755 ]; chown 65534:65534 f; stat -c %u:%g f'
try install 'install -o visitor -g games -m 2750 -d d; install -o visitor -m 640 /etc/hostname d/f; [ "$(stat -c %U:%G:%a d)" = visitor:games:2750 ]; stat -c %U:%a d/f'
try tar 'tar -cf t.tar d; mkdir u; tar -xpf t.tar -C u --same-owner; [ "$(stat -c %U:%G:%a u/d)" = visitor:games:2750 ]; stat -c %U u/d/f'
try capabilities 'cp /bin/true c; setcap cap_net_raw+ep c; getcap c'
try user-of-service 'for u in redis sshd www-data; do getent passwd $u >/dev/null; done; getent passwd redis'
try group-of-service 'getent group crontab | grep .; stat -c %G /usr/bin/crontab | grep crontab'
try owner-of-directory '[ "$(stat -c %U:%G /var/lib/redis)" = redis:redis ]; stat -c %U:%G:%a /var/log/redis'
try userdel 'adduser --system --group --home /var/lib/service service; [ "$(stat -c %U /var/lib/service)" = service ]; deluser service; userdel -r visitor; ! id visitor'

# The package manager's own.
try divert 'dpkg-divert --local --rename --divert /usr/bin/less.moved --add /usr/bin/less; [ -e /usr/bin/less.moved ] && [ ! -e /usr/bin/less ]
    dpkg-divert --rename --remove /usr/bin/less; ls /usr/bin/less'
try alternatives 'update-alternatives --set editor /usr/bin/vim.tiny; [ "$(readlink -f /usr/bin/editor)" = /usr/bin/vim.tiny ]
    update-alternatives --install /usr/bin/tool tool /bin/true 50; tool; update-alternatives --query editor | grep ^Value'
try trigger 'dpkg-trigger --by-package=nano --no-await /usr/share/man 2>&1; dpkg --triggers-only -a; [ -z "$(dpkg --audit)" ]; echo processed'
try deb-conffile 'mkdir -p p/DEBIAN p/etc p/srv/own; echo x >p/etc/of-ours.conf; echo /etc/of-ours.conf >p/DEBIAN/conffiles
    printf "Package: of-ours\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n" >p/DEBIAN/control
    printf "#!/bin/sh\nset -e\nchown games:games /srv/own\ndpkg-statoverride --force-all --update --add root games 2755 /srv/own\n" >p/DEBIAN/postinst
    chmod 755 p/DEBIAN/postinst; dpkg-deb --root-owner-group -b p o.deb >/dev/null; dpkg -i o.deb; [ "$(stat -c %U:%G:%a /srv/own)" = root:games:2755 ]
    dpkg -P of-ours; [ ! -e /etc/of-ours.conf ]; echo purged'
try debconf 'echo "locales locales/default_environment_locale select None" | debconf-set-selections; debconf-show locales | grep default_environment'
try reconfigure 'dpkg-reconfigure -f noninteractive tzdata; dpkg-reconfigure -f noninteractive ca-certificates; echo done'
try zone 'ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime; rm -f /etc/timezone; dpkg-reconfigure -f noninteractive tzdata; [ "$(TZ= date -d @0 +%Y)" = 1970 ]; cat /etc/timezone | grep Asia/Tokyo'
try ucf 'echo a >n; ucf n /etc/of-ucf; ucfr sudo /etc/of-ucf; cat /etc/of-ucf'
try ldconfig 'mkdir -p /usr/local/lib/ours; cp "$(ldconfig -p | sed -n "s/.*libz.so.1 .*=> //p" | head -1)" /usr/local/lib/ours/libours.so.1
    echo /usr/local/lib/ours >/etc/ld.so.conf.d/ours.conf; ldconfig; ldconfig -p | grep /usr/local/lib/ours/'
try locale 'echo "de_DE.UTF-8 UTF-8" >>/etc/locale.gen; locale-gen >/dev/null; localedef -i fr_FR -f UTF-8 fr_FR.UTF-8; locale -a | grep -q fr_FR; LC_ALL=de_DE.utf8 date -d @0 +%A'
try certificates 'openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ours -keyout k -out /usr/local/share/ca-certificates/ours.crt 2>/dev/null
    update-ca-certificates 2>&1; openssl verify -CApath /etc/ssl/certs /usr/local/share/ca-certificates/ours.crt'
try man 'mandb -q; man -w nano'
try mime 'update-mime; update-mime-database /usr/share/mime; grep -q text/plain /etc/mime.types; grep -c . /etc/mailcap'
try fonts 'fc-cache -f; fc-list | grep -m1 -o DejaVuSans.ttf'

# Services are not started.
try service-denied 'invoke-rc.d redis-server start; s=$?; invoke-rc.d --query redis-server start || s=$?; echo "policy says $s"; [ $s = 101 ]'
try invoke 'for s in nginx ssh cron redis-server; do invoke-rc.d $s restart 2>&1 | grep -m1 -E "denied|policy-rc.d"; done'
try systemctl '[ ! -d /run/systemd/system ]; readlink /etc/systemd/system/multi-user.target.wants/redis-server.service'
try no-process 'p=$(cat /proc/[0-9]*/comm | sort -u | tr "\n" " "); echo "$p"; ! echo "$p" | grep -E "nginx|redis|sshd|cron|gpg-agent|dbus"'
try host-keys 'ls /etc/ssh/ssh_host_ed25519_key; sshd -t 2>&1 | grep -v "privilege separation" || true; stat -c %U:%a /etc/ssh/ssh_host_ed25519_key'
try cron 'echo "0 0 * * * true" | crontab -; crontab -l'

# What was installed runs.
try compile 'printf "int main(void) { return 0; }\n" >m.c; gcc -o m m.c; ./m; make --version | head -1'
try java 'printf "class H { public static void main(String[] w) { System.out.println(42); } }\n" >H.java; javac H.java; java -cp . H'
try go 'mkdir -p g; cd g; printf "package main\nfunc main() { println(6 * 7) }\n" >m.go; HOME=/work GOFLAGS=-mod=mod go run m.go'
try rust 'printf "fn main() { println!(\"{}\", 6 * 7) }\n" >r.rs; rustc r.rs; ./r; cargo --version'
try node 'node -e "console.log(6 * 7)"'
try npm 'npm --version'
try python-venv 'python3 -m venv v; v/bin/pip --version'
try postgresql 'psql --version; readlink -f /usr/bin/psql'
echo "all of it took $(($(date +%s) - begun)) s"
exit 77
