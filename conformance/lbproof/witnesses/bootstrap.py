"""Code of the probe for a place that has only `python3`: sent over standard input before the first request."""

from __future__ import annotations

import functools
import io
import zipfile
from importlib import resources

ARGV = (
    "python3",
    "-I",
    "-c",
    "import os, sys, runpy; "  # noqa: ISC004 - one argument
    "source = sys.stdin.buffer; size = int(source.readline()); code = os.memfd_create('probe'); "
    "os.write(code, source.read(size)); sys.path.insert(0, f'/proc/self/fd/{code}'); "
    "runpy.run_module('lbproof.probe', run_name='__main__', alter_sys=True)",
)
"""Command line that reads the code and becomes the probe."""


@functools.cache
def code() -> bytes:
    """Return what is written before the first request: the size in bytes, a line, and a zip of `lbproof.probe`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("lbproof/__init__.py", "")
        package = resources.files("lbproof.probe")
        for folder, place in (("lbproof/probe", package), ("lbproof/probe/tasks", package / "tasks")):
            for file in place.iterdir():
                if file.name.endswith(".py"):
                    archive.writestr(f"{folder}/{file.name}", file.read_bytes())
    data = buffer.getvalue()
    return b"%d\n" % len(data) + data
