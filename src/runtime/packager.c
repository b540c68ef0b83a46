#include "runtime/packager.h"

/* "apt-cache policy" says what would be installed whatever it is (a release of the sources, or what the host has). What
 * Conflicts with a requested package and is no other version of it does its work: the nodejs of some sources brings npm
 * along and refuses the distribution's. The times of package lists are the servers', so the change time is looked at.
 *
 * apt trusts a package in its directory of archives when its name and size are right, and builds wrote what lies there.
 * So what is kept has names that apt does not look for, "apt-" and a digest, and "simulate" asks apt for the digests in
 * the signed lists and makes links for those that are there. */
#define APT_SCRIPT                                                                                                     \
    "select_packages() {\n"                                                                                            \
    "    hint=$1\n"                                                                                                    \
    "    shift\n"                                                                                                      \
    "    selected=$({\n"                                                                                               \
    "        printf 'want %s\\n' \"$@\"\n"                                                                             \
    "        apt-cache policy -- \"$@\"\n"                                                                             \
    "        echo show\n"                                                                                              \
    "        apt-cache show -- \"$@\" 2>/dev/null\n"                                                                   \
    "    } | awk '\n"                                                                                                  \
    "        function end_record(  parts, i) {\n"                                                                      \
    "            if (version != \"\" && version == candidate[name])\n"                                                 \
    "                for (i = split(conflicts, parts, /, */); i > 0; i--)\n"                                           \
    "                    if (parts[i] != name)\n"                                                                      \
    "                        replaced[parts[i]] = 1\n"                                                                 \
    "            version = conflicts = \"\"\n"                                                                         \
    "        }\n"                                                                                                      \
    "        /^want / { order[count++] = $2; next }\n"                                                                 \
    "        /^show$/ { show = 1; next }\n"                                                                            \
    "        !show && /^[^ ]/ { name = substr($0, 1, length($0) - 1) }\n"                                              \
    "        !show && /^  Candidate: / { candidate[name] = $2 }\n"                                                     \
    "        show && /^Package: / { end_record(); name = $2 }\n"                                                       \
    "        show && /^Version: / { version = $2 }\n"                                                                  \
    "        show && /^Conflicts: / { conflicts = substr($0, 12) }\n"                                                  \
    "        END {\n"                                                                                                  \
    "            end_record()\n"                                                                                       \
    "            for (i = 0; i < count; i++)\n"                                                                        \
    "                if (candidate[order[i]] == \"\" || candidate[order[i]] == \"(none)\")\n"                          \
    "                    print \"!\" order[i]\n"                                                                       \
    "                else if (!(order[i] in replaced))\n"                                                              \
    "                    print order[i]\n"                                                                             \
    "        }')\n"                                                                                                    \
    "    missing=$(printf '%s\\n' \"$selected\" | sed -n 's/^!//p' | tr '\\n' ' ')\n"                                  \
    "    if [ -z \"$missing\" ]; then\n"                                                                               \
    "        printf '%s\\n' \"$selected\"\n"                                                                           \
    "        return 0\n"                                                                                               \
    "    fi\n"                                                                                                         \
    "    others=\n"                                                                                                    \
    "    [ -z \"$hint\" ] || others=$(apt-cache pkgnames | grep -xE -- \"$hint\" | sort -V | tr '\\n' ' ')\n"          \
    "    echo \"not in the package sources of this host: ${missing% }${others:+; base.version: it has ${others% }}\" " \
    ">&2\n"                                                                                                            \
    "    return 1\n"                                                                                                   \
    "}\n"                                                                                                              \
    "use_downloads() {\n"                                                                                              \
    "    wanted=$(printf '%s\\n' \"$1\" | sed -n \\\n"                                                                 \
    "        \"s/^'.*' \\([A-Za-z0-9][A-Za-z0-9+.~%_-]*\\.deb\\) \\([0-9]*\\) SHA256:\\([0-9a-f]\\{64\\}\\)$/\\3 \\2 " \
    "\\1/p\")\n"                                                                                                       \
    "    there=$(printf '%s\\n' \"$wanted\" | while read -r digest size file; do\n"                                    \
    "        [ ! -f \"apt-$digest\" ] || printf '%s  apt-%s\\n' \"$digest\" \"$digest\"\n"                             \
    "    done)\n"                                                                                                      \
    "    good=$(printf '%s\\n' \"$there\" | sha256sum --check 2>/dev/null | sed -n 's/^apt-\\(.*\\): OK$/\\1/p')\n"    \
    "    {\n"                                                                                                          \
    "        printf '%s\\n' \"$there\" | sed 's/^/there /'\n"                                                          \
    "        printf 'good %s\\n' $good\n"                                                                              \
    "        printf '%s\\n' \"$wanted\"\n"                                                                             \
    "    } | awk '\n"                                                                                                  \
    "        $1 == \"there\" { there[$2] = 1; next }\n"                                                                \
    "        $1 == \"good\" { good[$2] = 1; next }\n"                                                                  \
    "        NF == 3 { all++ }\n"                                                                                      \
    "        NF == 3 && $1 in good { hits++; bytes += $2; print \"apt-\" $1, $3 | \"xargs -r -n 2 ln -sf --\"; next "  \
    "}\n"                                                                                                              \
    "        NF == 3 && $1 in there { others++; next }\n"                                                              \
    "        NF == 3 { misses++ }\n"                                                                                   \
    "        END {\n"                                                                                                  \
    "            if (!all) {\n"                                                                                        \
    "                print \"apt: nothing is to be fetched\"\n"                                                        \
    "                exit\n"                                                                                           \
    "            }\n"                                                                                                  \
    "            line = sprintf(\"apt: HIT %d of %d packages (%.1f MB)\", hits, all, bytes / 1e6)\n"                   \
    "            if (misses)\n"                                                                                        \
    "                line = line sprintf(\", MISS %d: not in the cache\", misses)\n"                                   \
    "            if (others)\n"                                                                                        \
    "                line = line sprintf(\", MISS %d: not what the package sources say\", others)\n"                   \
    "            print line\n"                                                                                         \
    "        }'\n"                                                                                                     \
    "}\n"                                                                                                              \
    "case $1 in\n"                                                                                                     \
    "lists)\n"                                                                                                         \
    "    if find /var/lib/apt/lists -maxdepth 1 -type f -name '*_*' -cmin -1440 | grep -q .; then\n"                   \
    "        echo 'the package lists of the host are used: they are not older than a day'\n"                           \
    "    else\n"                                                                                                       \
    "        echo 'the package lists of the host are older than a day, or there are none: fetching them'\n"            \
    "        apt-get -q -o Acquire::Retries=3 -o APT::Update::Error-Mode=any update\n"                                 \
    "    fi ;;\n"                                                                                                      \
    "select)\n"                                                                                                        \
    "    shift\n"                                                                                                      \
    "    select_packages \"$@\" ;;\n"                                                                                  \
    "version)\n"                                                                                                       \
    "    found=$(apt-cache policy -- \"$2\" | sed -n 's/^  Candidate: //p' | head -n 1)\n"                             \
    "    found=${found#*:}\n"                                                                                          \
    "    printf '%s\\n' \"$found\"\n"                                                                                  \
    "    case $found in\n"                                                                                             \
    "    \"$3\" | \"$3\"[!0-9A-Za-z]*) ;;\n"                                                                           \
    "    *)\n"                                                                                                         \
    "        [ \"$3\" = any ] || {\n"                                                                                  \
    "            echo \"base.version: $2 of this host is ${found%%[-~+]*}, not $3\" >&2\n"                             \
    "            exit 1\n"                                                                                             \
    "        } ;;\n"                                                                                                   \
    "    esac ;;\n"                                                                                                    \
    "simulate)\n"                                                                                                      \
    "    shift\n"                                                                                                      \
    "    packages=$(select_packages '' \"$@\") || exit 1\n"                                                            \
    "    wanted=$(apt-get -qq -y --no-install-recommends -o Acquire::ForceHash=SHA256 \\\n"                            \
    "        -o Dir::Cache::archives=/nonexistent --print-uris install -- $packages) || exit 1\n"                      \
    "    cd /var/cache/apt/archives 2>/dev/null || cd /work\n"                                                         \
    "    use_downloads \"$wanted\" ;;\n"                                                                               \
    "install)\n"                                                                                                       \
    "    shift\n"                                                                                                      \
    "    packages=$(select_packages '' \"$@\") || exit 1\n"                                                            \
    "    exec apt-get -q -y --no-install-recommends -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 \\\n"                     \
    "        -o Dpkg::Options::=--force-confold install -- $packages ;;\n"                                             \
    "*) exit 2 ;;\n"                                                                                                   \
    "esac\n"

#define DNF_SCRIPT                                                                                                     \
    "select_packages() {\n"                                                                                            \
    "    missing=0\n"                                                                                                  \
    "    shift\n"                                                                                                      \
    "    for package; do\n"                                                                                            \
    "        if [ -n \"$(dnf -q repoquery -- \"$package\")\" ] || rpm -q --quiet -- \"$package\"; then\n"              \
    "            printf '%s\\n' \"$package\"\n"                                                                        \
    "        else\n"                                                                                                   \
    "            echo \"package $package is not in the package sources of this host\" >&2\n"                           \
    "            missing=1\n"                                                                                          \
    "        fi\n"                                                                                                     \
    "    done\n"                                                                                                       \
    "    return $missing\n"                                                                                            \
    "}\n"                                                                                                              \
    "case $1 in\n"                                                                                                     \
    "lists) dnf -q -y makecache ;;\n"                                                                                  \
    "select)\n"                                                                                                        \
    "    shift\n"                                                                                                      \
    "    select_packages \"$@\" ;;\n"                                                                                  \
    "version)\n"                                                                                                       \
    "    found=$(dnf -q repoquery --latest-limit=1 --qf '%{version}\\n' -- \"$2\" | tail -n 1)\n"                      \
    "    printf '%s\\n' \"$found\"\n"                                                                                  \
    "    case $found in\n"                                                                                             \
    "    \"$3\" | \"$3\"[!0-9A-Za-z]*) ;;\n"                                                                           \
    "    *)\n"                                                                                                         \
    "        [ \"$3\" = any ] || {\n"                                                                                  \
    "            echo \"base.version: $2 of this host is $found, not $3\" >&2\n"                                       \
    "            exit 1\n"                                                                                             \
    "        } ;;\n"                                                                                                   \
    "    esac ;;\n"                                                                                                    \
    "simulate)\n"                                                                                                      \
    "    shift\n"                                                                                                      \
    "    select_packages '' \"$@\" >/dev/null ;;\n"                                                                    \
    "install)\n"                                                                                                       \
    "    shift\n"                                                                                                      \
    "    exec dnf -q -y --setopt=install_weak_deps=False install -- \"$@\" ;;\n"                                       \
    "*) exit 2 ;;\n"                                                                                                   \
    "esac\n"

#define APK_SCRIPT                                                                                                     \
    "select_packages() {\n"                                                                                            \
    "    missing=0\n"                                                                                                  \
    "    shift\n"                                                                                                      \
    "    for package; do\n"                                                                                            \
    "        if [ -n \"$(apk search -q -x -- \"$package\")\" ] || apk info -q -e -- \"$package\"; then\n"              \
    "            printf '%s\\n' \"$package\"\n"                                                                        \
    "        else\n"                                                                                                   \
    "            echo \"package $package is not in the package sources of this host\" >&2\n"                           \
    "            missing=1\n"                                                                                          \
    "        fi\n"                                                                                                     \
    "    done\n"                                                                                                       \
    "    return $missing\n"                                                                                            \
    "}\n"                                                                                                              \
    "case $1 in\n"                                                                                                     \
    "lists) apk -q update ;;\n"                                                                                        \
    "select)\n"                                                                                                        \
    "    shift\n"                                                                                                      \
    "    select_packages \"$@\" ;;\n"                                                                                  \
    "version)\n"                                                                                                       \
    "    found=$(apk policy -- \"$2\" | sed -n 's/^  \\(.*\\):$/\\1/p' | tail -n 1)\n"                                 \
    "    printf '%s\\n' \"$found\"\n"                                                                                  \
    "    case $found in\n"                                                                                             \
    "    \"$3\" | \"$3\"[!0-9A-Za-z]*) ;;\n"                                                                           \
    "    *)\n"                                                                                                         \
    "        [ \"$3\" = any ] || {\n"                                                                                  \
    "            echo \"base.version: $2 of this host is ${found%%-r*}, not $3\" >&2\n"                                \
    "            exit 1\n"                                                                                             \
    "        } ;;\n"                                                                                                   \
    "    esac ;;\n"                                                                                                    \
    "simulate)\n"                                                                                                      \
    "    shift\n"                                                                                                      \
    "    apk -q add --simulate -- \"$@\" ;;\n"                                                                         \
    "install)\n"                                                                                                       \
    "    shift\n"                                                                                                      \
    "    exec apk add -- \"$@\" ;;\n"                                                                                  \
    "*) exit 2 ;;\n"                                                                                                   \
    "esac\n"

static const struct runtime_packager_commands commands[RUNTIME_PACKAGER_COUNT] = {
        [RUNTIME_PACKAGER_APT] = {"apt", APT_SCRIPT,
                {"DEBIAN_FRONTEND=noninteractive", "DEBCONF_NONINTERACTIVE_SEEN=true", "APT_LISTCHANGES_FRONTEND=none"},
                .collects = true},
        [RUNTIME_PACKAGER_DNF] = {"dnf", DNF_SCRIPT, {NULL}, .untried = true},
        [RUNTIME_PACKAGER_APK] = {"apk", APK_SCRIPT, {NULL}, .untried = true},
};

const struct runtime_packager_commands *runtime_packager_find(enum runtime_packager packager)
{
    return &commands[packager];
}
