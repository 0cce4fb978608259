"""Where detector code runs with ``--sandbox``: bubblewrap, with nothing inside but what is listed here.

A process in it sees the system's libraries, Python and the packages that can be imported, all read-only; its own job
folder; its images; and the pretrained models of the Hugging Face cache. It has no network and its own process ids.
Whatever is not listed does not exist in there, home and data folders included.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import all_suffixes
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import bench
from bench.errors import EnvironmentProblem
from bench.hookspecs import GROUP
from bench.run.surroundings import import_path, threads

JOB = Path("/job")
FIT, EVALUATE = Path("/images/fit.npy"), Path("/images/evaluate.npy")
WEIGHTS = Path("/weights")
SCRATCH = JOB / "scratch"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/sys/devices/system")
ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime")
VARIABLES = ("LANG", "TZ", "PYTHONHASHSEED", "CUDA_VISIBLE_DEVICES")
VARIABLE_STARTS = ("LC_", "OMP_", "MKL_", "OPENBLAS_")
NAMESPACE_DEPTH = 3
FIX = (
    "--sandbox needs unprivileged user namespaces, which this system does not allow. Ask its administrator for one of "
    "these, whichever applies:\n  sysctl user.max_user_namespaces=15000\n  sysctl kernel.unprivileged_userns_clone=1 "
    "(older Debian)\n  sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04)\n"
    "In a container, its seccomp profile must allow them too. SECURITY.md says what a run without --sandbox means."
)


@dataclass(frozen=True)
class Sandbox:
    """How to start processes in the sandbox.

    Attributes:
        hidden: folders that must not be seen even where they lie inside one that is needed: data, results, cache.
        device: as asked for; graphics cards are let in unless it is ``cpu``.

    """

    hidden: tuple[Path, ...]
    device: str

    def check(self) -> None:
        """Try it.

        Raises:
            EnvironmentProblem: it does not work here, with the fix.

        """
        if sys.platform != "linux":
            raise EnvironmentProblem(f"--sandbox works on Linux only, this is {sys.platform}")
        if shutil.which("bwrap") is None:
            raise EnvironmentProblem(
                "--sandbox needs bubblewrap, and there is no 'bwrap' on PATH: install your distribution's package "
                "'bubblewrap' (Debian: apt-get install bubblewrap)"
            )
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        process = self.start([sys.executable, "-P", "-c", "import bench"], 1, pipes)
        _, said = process.communicate()
        if process.returncode:
            text = said.decode(errors="replace").strip()
            raise EnvironmentProblem(f"{text}\n{FIX}" if text.startswith("bwrap:") else f"--sandbox fails: {text}")

    def start(
        self,
        command: Sequence[str],
        jobs: int,
        pipes: Mapping[str, Any],
        folder: Path | None = None,
        images: Mapping[Path, Path] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process in there, with ``/job/scratch`` as its working folder.

        Args:
            command: the program and its arguments.
            jobs: how many of them share the cores.
            pipes: standard input, output and error, as ``Popen`` takes them.
            folder: what ``/job`` is, with ``scratch`` in it; in memory if None.
            images: file inside to file outside.

        Raises:
            OSError: it cannot be started.

        """
        options = self._options(folder, images or {})
        with tempfile.TemporaryFile() as file:
            # Not on the command line: a process in there can read that of bubblewrap itself, as that of process 1.
            file.write(b"".join(option.encode(errors="surrogateescape") + b"\0" for option in options))
            file.seek(0)
            return subprocess.Popen(
                [shutil.which("bwrap") or "bwrap", "--args", str(file.fileno()), "--", *command],
                env=self._environment(jobs),  # for the same reason it is given no other variable
                pass_fds=[file.fileno()],
                start_new_session=True,
                cwd="/",
                **pipes,
            )

    @cached_property
    def _seen(self) -> list[Path]:
        return _seen(self.hidden)

    def _options(self, folder: Path | None, images: Mapping[Path, Path]) -> list[str]:
        options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "bench"]
        options += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
        if self.device != "cpu":  # never run on a graphics card: nobody had one and bubblewrap at the same time
            for node in sorted(Path("/dev").glob("nvidia*")):
                options += ["--dev-bind", str(node), str(node)]
        for path in self._seen:
            options += ["--ro-bind", str(path), str(path)]
        for path in _to_mask(self.hidden, self._seen):
            options += ["--tmpfs", str(path), "--remount-ro", str(path)]
        for model in _models():
            options += ["--ro-bind", str(model), str(WEIGHTS / model.name)]
        for inside, outside in images.items():
            options += ["--ro-bind", str(outside.resolve()), str(inside)]
        options += ["--bind", str(folder), str(JOB)] if folder else ["--tmpfs", str(JOB), "--dir", str(SCRATCH)]
        return [*options, "--remount-ro", "/", "--chdir", str(SCRATCH)]

    def _environment(self, jobs: int) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if name in VARIABLES or name.startswith(VARIABLE_STARTS)
        }
        path = [entry for entry in import_path(self.hidden) if any(_touch(entry, place) for place in self._seen)]
        return {
            **kept,
            **threads(jobs),
            "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(map(str, path)),
            "HOME": str(SCRATCH),
            "TMPDIR": str(SCRATCH),
            "USER": "bench",
            "HF_HUB_CACHE": str(WEIGHTS),
            "HF_HUB_OFFLINE": "1",
        }


def _touch(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _seen(hidden: Sequence[Path]) -> list[Path]:
    """Everything outside that can be read inside, under the same path; no entry lies inside another."""
    wanted = [Path(name) for name in SYSTEM] + [Path("/etc", name) for name in ETC]
    wanted += [Path(sys.prefix), Path(sys.base_prefix)]
    folders = [folder.resolve() for folder in hidden]
    for entry in [*import_path(hidden), *_editable()]:
        if entry.is_file() or entry.name in ("site-packages", "dist-packages"):
            wanted.append(entry)
        elif not any(entry.is_relative_to(place) for place in wanted):
            wanted += _importable(entry, folders, NAMESPACE_DEPTH)
    there = [path for path in dict.fromkeys(wanted) if path.exists()]
    return [path for path in there if not any(path != other and path.is_relative_to(other) for other in there)]


def _importable(folder: Path, hidden: Sequence[Path], depth: int) -> Iterator[Path]:
    """What Python could import from a folder, and the metadata of packages; never the folder as a whole.

    The folder of a checkout is on the import path of whoever develops a plugin, and so is the working folder: both may
    hold data, results, credentials and a history of all that.
    """
    try:
        children = sorted(folder.iterdir())
    except OSError:
        return
    for child in children:
        if child.name.startswith(".") or child.resolve() in hidden:
            continue
        if (
            child.name.endswith((*all_suffixes(), ".pth", ".dist-info", ".egg-info"))
            or (child / "__init__.py").exists()
        ):
            yield child
        elif depth > 1 and child.name.isidentifier() and child.is_dir():
            yield from _importable(child, hidden, depth - 1)  # a package without __init__.py


def _editable() -> Iterator[Path]:
    """Folders of plugins that were installed with ``pip install -e``: some are on no import path."""
    import json

    for point in entry_points(group=GROUP):
        try:
            url = json.loads((point.dist and point.dist.read_text("direct_url.json")) or "{}")["url"]
        except (KeyError, TypeError, ValueError, OSError):
            continue
        if str(url).startswith("file:///"):
            folder = Path(unquote(urlparse(url).path))
            yield from (path for path in (folder, folder / "src") if path.is_dir())


def _to_mask(hidden: Sequence[Path], seen: Sequence[Path]) -> list[Path]:
    """Folders to hide that lie inside what is seen, and with them what is published beside bench's own code."""
    checkout = Path(bench.__file__).resolve().parents[1]
    folders = [*(folder.resolve() for folder in hidden), checkout / "results", checkout / ".git"]
    return [
        folder for folder in dict.fromkeys(folders) if folder.is_dir() and any(folder.is_relative_to(p) for p in seen)
    ]


def _models() -> list[Path]:
    """The models of the Hugging Face cache; its data sets stay outside."""
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    return sorted(folder.glob("models--*"))
