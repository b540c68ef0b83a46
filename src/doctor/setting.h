/* Settings of the kernel that "doctor --cis" looks at: the arguments of try_setting. */
#pragma once

enum setting {
    SETTING_KPTR,
    SETTING_DMESG,
    SETTING_BPF,
    SETTING_HARDLINKS,
    SETTING_SYMLINKS,
    SETTING_DUMPABLE,
    SETTING_ASLR,
    SETTING_FORWARD,
    SETTING_REDIRECTS,
    SETTING_COUNT,
};
