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

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    """Read a job, run it in a child, report its end on standard output."""
    job = json.loads(sys.stdin.buffer.readline())
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    linux_prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        os.close(wake_read)
        os.close(wake_write)
        run_child(job)
    if abandoned_before_end(child, wake_read):
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)  # whatever the detector started and left behind
    kill_orphans()
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    end = {"event": "exit", "code": os.waitstatus_to_exitcode(status), "peak_rss_bytes": peak}
    try:
        os.write(1, (json.dumps(end) + "\n").encode())
    except OSError:  # nobody listens any more, so nobody else cleans up either
        shutil.rmtree(job["folder"], ignore_errors=True)


def abandoned_before_end(child: int, wake_read: int) -> bool:
    """Wait until the child has ended (False) or standard input has (True)."""
    while True:
        ready, _, _ = select.select([0, wake_read], [], [])
        if 0 in ready and not os.read(0, 1):
            return True
        if wake_read in ready:
            os.read(wake_read, 4096)
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return False


def run_child(job: dict[str, object]) -> None:
    """Become the worker; never returns."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    linux_prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # be killed when the guard is killed
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
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


def linux_prctl(option: int, value: int) -> None:
    """Ask the Linux kernel for something about this process; other systems do without."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(option, value)


def kill_orphans() -> None:
    """Kill what detached itself from the worker's session: as subreaper, the guard has become its parent."""
    if sys.platform != "linux":
        return
    for _ in range(1000):  # each round may orphan the children of those that it kills
        processes = map(int, filter(str.isdigit, os.listdir("/proc")))  # noqa: PTH208  (as below)
        children = [pid for pid in processes if parent_of(pid) == os.getpid()]
        if not children:
            return
        for pid in children:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def parent_of(pid: int) -> int | None:
    """Return the parent of a process, or None if it is gone."""
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123  (pathlib would double the start-up)
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


if __name__ == "__main__":
    main()
