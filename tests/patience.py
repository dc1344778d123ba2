"""A limit of time for what might hang; a signal whose default is to end the process ends it."""

import signal

BESIDE_OTHERS = 20  # times as long by the clock: other programs may have the processors


def wait_for(seconds: int) -> None:
    """End this process after so many seconds of work, or twenty times as many by the clock; 0: no more."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(BESIDE_OTHERS * seconds)
