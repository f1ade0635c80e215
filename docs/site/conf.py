"""Sphinx's configuration. The sources are laid out by `build.py`, as the repository is, with the generated pages."""

from lbproof import __version__

project = "lbproof"
release = version = __version__
copyright = "The lbproof authors"  # noqa: A001 - Sphinx names it so
extensions = ["myst_parser", "sphinx_click"]
myst_heading_anchors = 4
nitpicky = True
highlight_language = "none"
html_theme = "furo"
html_title = f"lbproof {__version__}"
html_copy_source = False
html_show_sphinx = False
