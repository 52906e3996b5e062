"""Published documents as tests read them: HTML and Markdown tables, and what a page consists of."""
import html.parser
import re
import xml.etree.ElementTree as ElementTree

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(html.parser.HTMLParser):
    """tables: id of the section -> rows of cells (text); a second line of a cell in round brackets. tags: (name,
    attributes) in order. Tags that do not nest are an error."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.text, self.tags, self.tables, self.captions, self.svgs, self.words = text, [], {}, {}, [], []
        self.open, self.section, self.cell, self.small, self.start = [], None, None, False, None
        self.feed(text)
        self.close()
        assert self.open == []

    def position(self) -> int:
        line, column = self.getpos()
        return sum(len(part) + 1 for part in self.text.split("\n")[:line - 1]) + column

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "section" or (tag == "h2" and attributes.get("id") == "changes"):
            self.section = attributes["id"]
        elif tag == "table":
            assert self.section not in self.tables
            self.tables[self.section] = []
        elif tag == "tr":
            self.tables[self.section].append([])
        elif tag in ("th", "td", "caption", "figcaption"):
            self.cell = ""
        elif tag == "small":
            self.cell += " ("
        elif tag == "svg":
            self.start = self.position()

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, (tag, self.getpos())
        if tag in ("th", "td"):
            self.tables[self.section][-1].append(self.cell)
            self.cell = None
        elif tag in ("caption", "figcaption"):
            self.captions.setdefault(self.section, self.cell)
            self.cell = None
        elif tag == "small":
            self.cell += ")"
        elif tag == "svg":
            self.svgs.append(ElementTree.fromstring(self.text[self.start:self.position() + len("</svg>")]))

    def handle_data(self, data):
        self.words.append(data)
        if self.cell is not None:
            self.cell += data


def markdown_tables(text: str) -> list[list[list[str]]]:
    """Rows of each table, the headings first."""
    tables, inside = [], False
    for line in text.split("\n"):
        if not line.startswith("|"):
            inside = False
            continue
        cells = [re.sub(r"\\(.)", r"\1", cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not inside:
            tables.append([])
            inside = True
        if not all(re.fullmatch("-+:?", cell) for cell in cells):
            tables[-1].append(cells)
    return tables


# As values are shown. None: nothing is known.

def count(value, guard=None) -> str:
    if value in (None, ""):
        return "no data"
    return "< 5 hosts" if guard is not None and int(guard or 0) < 5 else f"{int(value):,}"


def hosts(value) -> str:
    return "no data" if value in (None, "") else "< 5" if int(value) < 5 else f"{int(value):,}"


def mean(value, guard=None) -> str:
    if value in (None, ""):
        return "no data"
    value = float(value)
    return "< 5 hosts" if guard is not None and int(guard or 0) < 5 else \
        f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"


def share(value, guard=None) -> str:
    if value in (None, ""):
        return "no data"
    return "< 5 hosts" if guard is not None and int(guard or 0) < 5 else f"{100 * float(value):,.1f} %"
