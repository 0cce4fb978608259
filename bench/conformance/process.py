"""Running a module of the kit in a process of its own, which finds what this one finds."""

from __future__ import annotations

import json
import sys


def python_command(module: str, *arguments: str) -> list[str]:
    """Return a command that calls ``main()`` of a module, with the import path of this process."""
    program = f"import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); from {module} import main; main()"
    return [sys.executable, "-P", "-c", program, json.dumps(sys.path), *arguments]
