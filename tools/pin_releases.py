"""`python tools/pin_releases.py`: print the table `[sha256]` of versions.toml for the versions that stand in it.

Reads the checksum that the makers publish beside each file that is downloaded, for the architectures that are pinned.
It proves nothing by itself, because it comes from where the file comes from: compare it with another source.
"""

from __future__ import annotations

import sys
import urllib.request

from lbproof.lab.components import ComponentOptions
from lbproof.lab.kind.components import complete

ARCHITECTURES = ("amd64", "arm64")
ANSWER_WITHIN = 30.0


def main() -> int:
    """Print the table; 69 and one line when a checksum cannot be read."""
    mirror = ComponentOptions().mirror.rstrip("/")
    lines = ["[sha256]"]
    for arch in ARCHITECTURES:
        for release in [component.release for component in complete().values() if component.release]:
            path = release.path.format(arch=arch)
            url = (mirror or release.host) + release.sums.format(arch=arch)
            try:
                with urllib.request.urlopen(url, timeout=ANSWER_WITHIN) as answer:  # noqa: S310 - a mirror may be a file:// URL
                    lines.append(f'"{path}" = "{digest(answer.read().decode(), path.rpartition("/")[2])}"')
            except (OSError, ValueError) as error:
                print(f"pin_releases: {url}: {error}", file=sys.stderr)  # noqa: T201 - a command
                return 69
    print("\n".join(lines))  # noqa: T201 - a command
    return 0


def digest(text: str, file: str) -> str:
    """Return the digest of a file in the text of a checksum file: a bare digest, or lines of digest and file name.

    Raises `ValueError` when it names no such file.
    """
    rows = [line.split() for line in text.splitlines() if line.strip()]
    for row in rows:
        if (len(row) == 1 and len(rows) == 1) or row[-1].lstrip("*") == file:
            return row[0].lower()
    raise ValueError(f"it has no checksum of {file}")


if __name__ == "__main__":
    sys.exit(main())
