"""Hostile detectors: one looks through all it is handed, one tries to get at what it is not."""

import os
import time
from pathlib import Path

# Runs in the worker; ``out`` is where the findings go.
SNOOP = '''
import contextlib, gc, json, os, sys
from pathlib import Path

import numpy as np
import bench

OUT = "{out}"
FOUND = {{}}

def listing(folder):
    return sorted(str(path) for path in Path(folder).rglob("*"))

def attributes(thing):
    found = {{"type": type(thing).__name__}}
    for name in dir(thing):
        with contextlib.suppress(Exception):
            value = getattr(thing, name)
            if not callable(value):
                found[name] = repr(value)[:10_000]
    return found

def chain(array):
    found = []
    while array is not None:
        found.append(attributes(array))
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return found

def frames():
    frame, found = sys._getframe(1), []
    while frame is not None:
        found.append([frame.f_code.co_qualname, {{name: repr(value) for name, value in frame.f_locals.items()}}])
        frame = frame.f_back
    return found

def descriptors():
    found = {{}}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[name] = os.readlink(f"/proc/self/fd/{{name}}")
    return found

def strings():
    """All text and file names that the garbage collector knows a way to."""
    found = set()
    for thing in gc.get_objects():
        with contextlib.suppress(Exception):
            for value in (thing, *gc.get_referents(thing)):
                if isinstance(value, str | bytes | Path):
                    found.add(str(value))
    return sorted(found)

def lengths():
    """How many values each container has that a frame above holds."""
    frame, found = sys._getframe(1), []
    while frame is not None:
        for name, value in frame.f_locals.items():
            with contextlib.suppress(TypeError):
                found.append([name, type(value).__name__, len(value)])
        frame = frame.f_back
    return found

def snoop(where, images, run, config):
    FOUND[where] = {{
        "argv": [sys.argv, sys.orig_argv, sys.path],
        "environment": dict(os.environ),
        "first environment": Path("/proc/self/environ").read_text(),
        "command": Path("/proc/self/cmdline").read_text(),
        "working folder": [os.getcwd(), listing(".")],
        "scratch": listing(run.scratch),
        "job": listing(run.scratch.parent),
        "descriptors": descriptors(),
        "images": chain(images),
        "count": len(images),
        "config": config.model_dump(mode="json"),
        "run": attributes(run),
        "frames": frames(),
        "lengths": lengths(),
        "strings": strings(),
    }}
    Path(OUT).write_text(json.dumps(FOUND))

class Snoop(bench.Detector):
    def fit(self, normal, run):
        snoop("fit", normal, run, self.config)
        return self
    def anomaly_scores(self, images, run):
        snoop("anomaly_scores", images, run, self.config)
        return images.astype(float).mean(axis=(1, 2, 3))
    def state(self):
        return {{}}
    def load_state(self, state):
        return self

@bench.hookimpl
def bench_detectors():
    return [bench.DetectorSpec(name="snoop", version="1", summary="looks around", citation="none", torch=False,
            config=lambda: bench.DetectorConfig, load=lambda: Snoop, presets={{"smoke": {{}}}})]
'''


def snoop(out: str) -> str:
    """Source of the plugin; findings go to the file ``out``."""
    return SNOOP.format(out=out)


# Tries everything when it is imported and again in ``fit``, which fails with the names of what succeeded.
INTRUDER = """
import json, os, socket, sys
from pathlib import Path

import bench

def read_data(): return os.listdir({data!r})
def read_results(): return os.listdir({results!r})
def read_index(): return os.listdir({cache!r})
def read_home(): return Path({home!r}, "secret").read_text()
def read_published(): return os.listdir(Path(bench.__file__).parents[1] / "results")
def read_history(): return os.listdir(Path(bench.__file__).parents[1] / ".git")
def write_outside(): return Path({marker!r}).write_text("was here")
def write_beside(): return Path(__file__).with_name("planted.txt").write_text("was here")
def write_python():
    planted = os.path.join(sys.prefix, f"planted-{{os.getpid()}}")
    os.mkdir(planted)
    os.rmdir(planted)
    return True
def connect(): return socket.create_connection(("127.0.0.1", {port}), timeout=5)
def find_interfaces(): return [name for _, name in socket.if_nameindex() if name != "lo"]
def find_credentials():
    return any(b"hunter2" in read_of(pid, "environ") for pid in pids())
def find_parent():
    return any(b"--detectors" in read_of(pid, "cmdline") for pid in pids())
def find_paths():
    return any({data!r}.encode() in read_of(pid, "cmdline") for pid in pids())
def find_others(): return len(pids()) > 6

def read_of(pid, name):
    try:
        return Path("/proc", pid, name).read_bytes()
    except OSError:
        return b""

def pids():
    return [name for name in os.listdir("/proc") if name.isdigit()]

TRIES = [read_data, read_results, read_index, read_home, read_published, read_history, write_python,
         connect, find_interfaces, find_credentials, find_parent, find_paths, find_others]

def try_all():
    for write in (write_outside, write_beside):  # may land in memory that ends with the sandbox: the test looks outside
        try:
            write()
        except OSError:
            pass
    done = []
    for attempt in TRIES:
        try:
            if attempt():
                done.append(attempt.__name__)
        except OSError:
            pass
    return done

IMPORTED = try_all()

class Intruder(bench.Detector):
    def fit(self, normal, run):
        done = try_all()
        if done or IMPORTED:
            raise ValueError(json.dumps([done, IMPORTED]))
        (Path("/job") / "mine").write_text("allowed")
        return self
    def anomaly_scores(self, images, run):
        return images.astype(float).mean(axis=(1, 2, 3))
    def state(self):
        return {{}}
    def load_state(self, state):
        return self

@bench.hookimpl
def bench_detectors():
    return [bench.DetectorSpec(name="intruder", version="1", summary="gets out", citation=json.dumps(IMPORTED),
            torch=False, config=lambda: bench.DetectorConfig, load=lambda: Intruder, presets={{"smoke": {{}}}})]
"""


def intruder(**places: object) -> str:
    """Source of the plugin; ``places`` are the data, results, cache, home, marker and port that it tries."""
    return INTRUDER.format(**places)


def processes_of(folder: Path) -> list[int]:
    """Processes, zombies aside, in whose environment a folder is named."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends in time; a zombie has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False
