"""`python -m docs.site.build [FOLDER]`: build the site, offline, into build/docs or a folder; warnings are errors.

The sources are copied into build/docs/source in the layout of the repository, so that links that work on GitHub work on
the site, and the generated pages are written beside them. What a page links to and is no page is copied too.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from docs.site.pages import pages
from sphinx.cmd.build import build_main

ROOT = Path(__file__).parents[2]
OUT = ROOT / "build/docs"
PAGES = ("*.md", "docs/*.md", "docs/findings/*.md", "docs/examples/*/*.md", "kind-configs/*.md", "perf/manifests/*.md")
_LINK = re.compile(r"\]\(([^)#\s]+)")


def lay_out(source: Path) -> None:
    """Fill an empty folder with the sources of the site."""
    for pattern in PAGES:
        for page in ROOT.glob(pattern):
            _copy(page, source)
            for link in _LINK.findall(page.read_text(encoding="utf-8")):
                target = (page.parent / link).resolve()
                if target.is_file() and target.suffix != ".md":
                    _copy(target, source)
    _write(source / "index.md", (ROOT / "docs/site/index.md").read_text(encoding="utf-8"))
    for name, text in pages().items():
        _write(source / name, text)


def _copy(path: Path, source: Path) -> None:
    target = source / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main(out: Path = OUT) -> int:
    """Build the site below a folder, which is made anew; gives Sphinx's exit code."""
    shutil.rmtree(out, ignore_errors=True)
    lay_out(out / "source")
    folders = [str(out / "source"), str(out / "html")]
    code = build_main(["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT / "docs/site"), *folders])
    if not code:
        print(f"docs: {out / 'html/index.html'}")  # noqa: T201 - a command
    return code


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
