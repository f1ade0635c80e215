"""Elements of an HTML page by XPath."""

from __future__ import annotations

from lxml import etree


def find(source: str | etree._Element, path: str) -> list[etree._Element]:
    """Return the elements of a page, or below one of its elements, that a path selects."""
    root = etree.HTML(source) if isinstance(source, str) else source
    found = root.xpath(path)
    assert isinstance(found, list)
    return [one for one in found if isinstance(one, etree._Element)]  # noqa: SLF001 - the only name of its type


def text(element: etree._Element) -> str:
    """Return what is read in an element."""
    return "".join(str(part) for part in element.itertext())
