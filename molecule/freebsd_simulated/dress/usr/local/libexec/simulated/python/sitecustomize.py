"""What uname(3) says on FreeBSD 12.4, for Ansible's facts: they come from os.uname()."""

import os

_kernel = os.uname()


def uname():
    version = "FreeBSD 12.4-RELEASE r372781 GENERIC"
    return os.uname_result(("FreeBSD", _kernel.nodename, "12.4-RELEASE", version, "amd64"))


os.uname = uname
