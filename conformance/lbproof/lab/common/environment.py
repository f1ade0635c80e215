"""Environments of the programs that lbproof starts: the one place that builds them.

Programs of a lab, and those whose output is read, get a closed environment: `_KEPT` of the user's shell and nothing
else. So no proxy (it is outside the lab), no GODEBUG, GOMAXPROCS or SSL_CERT_FILE of Go programs, no KUBECONFIG of
kubectl, no PYTHON* of Python, no LD_*, MALLOC_*, LC_* or TZ of glibc reaches them, and no file of the user's home
folder (.kube, .config, .netrc, .curlrc, .docker). The user's own programs (`lab exec`, `helm`, `docker`) have the
user's.
"""

from __future__ import annotations

import os
import site
from pathlib import Path

import lbproof

_KEPT = ("PATH", "TMPDIR")
"""Variables of the user's shell that count: where programs are found, and where there is room."""
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Folders of system programs, which the PATH of a user who became root may lack."""
HOME = "/nonexistent"
"""Home folder of accounts that have none (Debian policy, 9.2.3)."""
NETWORK = (
    *(
        "HTTPS_PROXY",
        "HTTP_PROXY",
        "NO_PROXY",
        "https_proxy",
        "http_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ),
)
"""Variables of the user's shell that say how the Internet is reached: they count where something is downloaded."""
_PROXIES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"})


def only(*names: str) -> dict[str, str]:
    """Return the variables of the user's shell with these names, where they are set, and those of every program."""
    kept = {name: os.environ[name] for name in (*_KEPT, *names) if name in os.environ}
    return kept | {"PATH": path(), "LC_ALL": "C.UTF-8"}


def closed() -> dict[str, str]:
    """Return the environment of a program that is nothing of the user's."""
    return only() | {"HOME": HOME}


def python() -> dict[str, str]:
    """Return the closed environment of this Python interpreter, where it finds the packages of this process."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    home = str(Path(lbproof.__file__).parent.parent)
    found = [home] if home not in site.getsitepackages() else []
    return closed() | {"PYTHONPATH": os.pathsep.join([*found, *user])}


def of_user() -> dict[str, str]:
    """Return the environment of the user's own program in a lab: without a proxy, to which there is no route."""
    return {name: value for name, value in os.environ.items() if name.upper() not in _PROXIES}


def path() -> str:
    """Return PATH with the folders of system programs."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*folders, *(folder for folder in SBIN if folder not in folders)])
