"""Keeps one worker: starts it, reports how it ended, and takes it down when the parent is gone.

Run as a script, so that it imports nothing but the standard library: it must stay small, quick and never blocked
by what a detector does. It reads one line (the job) from standard input, forks, and runs the worker in the child, in
a session of its own. When standard input closes (the parent ended, was killed, or gave up) the whole session is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys


def main() -> None:
    """Read a job, run it in a child, report its end on standard output."""
    job = json.loads(sys.stdin.buffer.readline())
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = os.fork()
    if child == 0:
        os.close(wake_read)
        run_child(job)
    ready, _, _ = select.select([0, wake_read], [], [])
    abandoned = 0 in ready and not os.read(0, 1)
    if abandoned:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # whatever the detector started and left behind
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    end = {"event": "exit", "code": os.waitstatus_to_exitcode(status), "peak_rss_bytes": peak}
    try:
        os.write(1, (json.dumps(end) + "\n").encode())
    except OSError:  # nobody listens any more, so nobody else cleans up either
        shutil.rmtree(job["folder"], ignore_errors=True)


def run_child(job: dict[str, object]) -> None:
    """Become the worker; never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    die_with_parent()
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    code = 1
    try:
        from bench.run.worker import work

        code = work(job)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # exit handlers of a detector's libraries have nothing left to do here


def die_with_parent() -> None:
    """On Linux, be killed when the guard is killed, even by SIGKILL."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


if __name__ == "__main__":
    main()
