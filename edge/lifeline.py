"""Lifeline: a process that ends with the one that started it."""

import ctypes
import signal

PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h: the signal that a process gets when its parent has died."""


def end_with_parent() -> None:
    """From now on this process is killed when its parent dies, also in the midst of a call that never returns.

    A parent that died before is not noticed: compare os.getppid(), or read from it, afterwards.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
