"""Names of files and links for names that anybody may have chosen."""

from __future__ import annotations

import re
from hashlib import sha256

LENGTH = 40


def slug(name: str, *more: str) -> str:
    """Turn any name into a file name: what is plain of it, and a hash that keeps two names apart.

    Args:
        name: any text; markup, directions of writing and 10,000 characters included.
        more: what else tells two things of one name apart; it is hashed and not shown.

    Returns:
        lower-case ASCII letters, digits and hyphens, at most 49 of them.

    """
    plain = "-".join(re.findall(r"[a-z0-9]+", name.lower()))[:LENGTH].strip("-") or "name"
    text = "\0".join((name, *more)).encode("utf-8", "surrogatepass")
    return f"{plain}-{sha256(text).hexdigest()[:8]}"
