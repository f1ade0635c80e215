"""Create the image's root folder from this Debian: `assemble.py SITE TARGET`. Runs in the Dockerfile's first stage.

Contains the interpreter, the parts of the standard library that a service needs, their shared libraries, and SITE as
the folder for packages. Everything is compiled in advance because the image is read-only at run time.
"""

from __future__ import annotations

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

USELESS = (
    *(
        "test",
        "idlelib",
        "tkinter",
        "turtledemo",
        "turtle.py",
        "ensurepip",
        "venv",
        "lib2to3",
        "pydoc_data",
        "pydoc.py",
        "sqlite3",
        "unittest",
    ),
    *("distutils", "dbm", "curses", "wsgiref", "xmlrpc", "config-*", "doctest.py", "pdb.py", "pydoc.py"),
    *("__pycache__", "dist-packages", "site-packages"),
)
"""Parts of the standard library that are not imported."""
USELESS_EXTENSIONS = ("_curses", "_sqlite3", "readline", "_tkinter", "_dbm", "_gdbm", "_test", "_xx", "_ctypes_test")
FILES = {
    "etc/passwd": "root:x:0:0:root:/:/bin/false\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def assemble(site: Path, target: Path) -> None:
    """Create the folder, which must not exist."""
    for folder in ("usr/bin", "usr/lib", "etc"):
        (target / folder).mkdir(parents=True)
    for name in ("lib", "lib64"):
        if Path("/", name).is_symlink():
            (target / name).symlink_to(f"usr/{name}")
    interpreter = Path(sys.executable).resolve()
    shutil.copy2(interpreter, target / "usr/bin" / interpreter.name)
    (target / "usr/bin/python3").symlink_to(interpreter.name)
    library = Path(sysconfig.get_path("stdlib"))
    kept = target / library.relative_to("/")
    shutil.copytree(library, kept, ignore=shutil.ignore_patterns(*USELESS))
    extensions = [one for one in sorted((kept / "lib-dynload").iterdir()) if not _dropped(one)]
    for path in libraries([interpreter, *extensions]):
        place = target / path.parent.resolve().relative_to("/") / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path.resolve(), place)
    packages = target / Path(sysconfig.get_path("purelib", "deb_system")).relative_to("/")
    shutil.copytree(site, packages, dirs_exist_ok=True)
    for name, content in FILES.items():
        (target / name).write_text(content, encoding="utf-8")
    for path in (kept, packages):
        unchecked = py_compile.PycInvalidationMode.UNCHECKED_HASH
        compileall.compile_dir(path, quiet=1, stripdir=target, invalidation_mode=unchecked, workers=os.cpu_count() or 1)


def _dropped(extension: Path) -> bool:
    """Delete an extension module that is not needed. Return whether it was one."""
    if not extension.name.startswith(USELESS_EXTENSIONS):
        return False
    extension.unlink()
    return True


def libraries(programs: list[Path]) -> list[Path]:
    """Return the shared libraries and the loader that the programs are linked to."""
    output = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    return sorted({Path(path) for path in re.findall(r"(/\S+) \(0x", output)})


if __name__ == "__main__":
    assemble(Path(sys.argv[1]), Path(sys.argv[2]))
