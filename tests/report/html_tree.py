"""A page as a tree of elements, as a browser would read it, so that tests can ask for structure and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"img", "br", "hr", "meta", "link", "input", "image", "line", "circle", "rect"}


@dataclass
class Element:
    """An element with its attributes and what it holds."""

    tag: str
    attributes: dict[str, str | None] = field(default_factory=dict)
    children: list[Element | str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Element]:
        """This element and all inside it, in the order of the page."""
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child

    @property
    def text(self) -> str:
        """The words inside, runs of spaces as one."""
        parts = [child if isinstance(child, str) else child.text for child in self.children]
        return " ".join(" ".join(parts).split())

    def all(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Elements of a tag with such attributes; ``class_`` asks for one of an element's classes."""
        css = attributes.pop("class_", None)
        found = []
        for element in self:
            classes = (element.attributes.get("class") or "").split()
            if tag in (None, element.tag) and (css is None or css in classes):
                if all(element.attributes.get(name) == value for name, value in attributes.items()):
                    found.append(element)
        return found

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        """The only such element."""
        [element] = self.all(tag, **attributes)
        return element

    def rows(self) -> list[list[str]]:
        """The words of a table's cells, its head first."""
        return [[cell.text for cell in row if cell.tag in ("th", "td")] for row in self.all("tr")]


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.open[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].children.append(data)


def parse(page: str) -> Element:
    """The tree of a page; an element that is not closed where it should be fails."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert builder.open == [builder.root]
    return builder.root
