"""Runs a program under the filter that systemd installs for MemoryDenyWriteExecute=.

Lives here: the filter, and a check that it holds. Must not live here: what is run under it.
To be run as a program, not imported.
"""

import ctypes
import errno
import mmap
import platform
import struct
import subprocess
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, MASK, IS_EQUAL, HAS_BITS, RETURN = 0x20, 0x54, 0x15, 0x45, 0x06
ALLOW, REFUSE = 0x7FFF_0000, 0x0005_0000 | errno.EPERM
NUMBER_AT, PROTECTION_AT = 0, 16 + 2 * 8  # struct seccomp_data: the call's number; its third argument, low half
CALLS = {  # mmap, mprotect, pkey_mprotect
    "x86_64": (9, 10, 329),
    "aarch64": (222, 226, 288),
}


class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def instructions() -> list[tuple[int, int, int, int]]:
    """Code, how far to jump when true and when false (0: to the next line), operand."""
    new, change, change_by_key = CALLS[platform.machine()]
    both = mmap.PROT_WRITE | mmap.PROT_EXEC
    return [
        (LOAD, 0, 0, NUMBER_AT),
        (IS_EQUAL, 2, 0, new),
        (IS_EQUAL, 4, 0, change),
        (IS_EQUAL, 3, 5, change_by_key),
        (LOAD, 0, 0, PROTECTION_AT),  # of a new mapping
        (MASK, 0, 0, both),
        (IS_EQUAL, 3, 2, both),
        (LOAD, 0, 0, PROTECTION_AT),  # of an old one, which may have been written to before
        (HAS_BITS, 1, 0, mmap.PROT_EXEC),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, REFUSE),
    ]


def install() -> None:
    """Hold this process, and all it becomes, to the filter. It cannot be taken off."""
    code = [struct.pack("=HBBI", *instruction) for instruction in instructions()]
    program = Program(len(code), b"".join(code))
    library = ctypes.CDLL(None, use_errno=True)
    calls = (
        (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    )
    for arguments in calls:
        if library.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {arguments[0]}")


def is_refused() -> bool:
    try:
        mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()
    except PermissionError:
        return True
    return False


if __name__ == "__main__":
    install()
    print("mapping refused" if is_refused() else "mapping allowed", flush=True)
    sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
