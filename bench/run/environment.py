"""Where a cell ran: versions and hardware, without the names of host, user or folders."""

from __future__ import annotations

import getpass
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bench.results.record import EnvironmentPart
from bench.run.surroundings import thread_count

PACKAGES = (
    "salad-bench",
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pyarrow",
    "pillow",
)


@lru_cache(maxsize=1)
def describe_environment() -> EnvironmentPart:
    """Versions, platform, processor and the git commit that bench runs from, if it runs from a checkout."""
    commit, dirty = _git_state(Path(__file__).parents[2])
    return EnvironmentPart(
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        processor=processor_name(),
        packages=package_versions(),
        git_commit=commit,
        dirty=dirty,
    )


def package_versions() -> dict[str, str]:
    """Installed versions of what can change a number."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def processor_name() -> str:
    """Model of the processor, as the operating system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_torch() -> tuple[dict[str, str], bool]:
    """Version, device, precision and threads that a cell finds, and whether it can be used at all."""
    try:
        import torch

        from bench.torchkit import resolve_device, resolve_precision
    except Exception as error:  # a broken installation may raise anything
        return {"torch": f"cannot be imported: {type(error).__name__}: {error}"}, False
    device = resolve_device("auto")
    name = torch.cuda.get_device_name() if device == "cuda" else device
    return {
        "torch": torch.__version__,
        "device": f"{name} (--device auto), precision {resolve_precision(device)}",
        "threads": f"{thread_count(1)} for one cell at a time",
    }, True


def _git_state(folder: Path) -> tuple[str | None, bool | None]:
    if not (folder / ".git").exists():
        return None, None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit, bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.SubprocessError):
        return None, None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def redact(text: str, places: Mapping[str, Path]) -> str:
    """Replace folders and the user's name in tracebacks and log tails by words.

    Args:
        text: what to clean.
        places: word to folder, e.g. ``{"DATA": Path("/mnt/scans")}``; home, python, temporary and working folders are
            always replaced.

    """
    known = {**places, "PYTHON": Path(sys.prefix), "BENCH": Path(__file__).parents[2]}
    # A container's user may have no name and no home, and the working folder may be gone.
    for word, find in (("TMP", tempfile.gettempdir), ("CWD", Path.cwd), ("HOME", Path.home)):
        with suppress(OSError, RuntimeError, KeyError):
            known[word] = Path(find())
    forms = {str(form): word for word, path in known.items() for form in (path, path.resolve()) if len(form.parts) > 1}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, f"<{forms[form]}>")
    with suppress(OSError, KeyError):
        text = text.replace(f"/{getpass.getuser()}/", "/<USER>/")
    return text.encode(errors="replace").decode()  # a lone surrogate of a file name has no place in JSON
