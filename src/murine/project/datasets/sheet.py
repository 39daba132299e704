"""The cells of the first sheet of an Excel workbook (.xlsx), or of a csv file, as text."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from murine.errors import InputError
from murine.files import require_file
from murine.formats.text import delimiter, read_text

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_LINK = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"
_CELL = re.compile(r"^([A-Z]+)(\d+)$")

Rows = list[list[str]]


def read_sheet(path: Path) -> Rows:
    """Return the rows of a table, each with a text for every column up to its last one with content.

    A workbook gives its first sheet. Raises InputError for a file that is neither, or is damaged.
    """
    path = require_file(Path(path), "table")
    with path.open("rb") as handle:
        workbook = handle.read(4) == b"PK\x03\x04"
    return _workbook(path) if workbook else _csv(path)


def _csv(path: Path) -> Rows:
    text = read_text(path, "table")
    return list(csv.reader(io.StringIO(text), delimiter=delimiter(text.split("\n", 1)[0])))


def _workbook(path: Path) -> Rows:
    try:
        with zipfile.ZipFile(path) as archive:
            strings = _strings(archive)
            with archive.open(_first_sheet(archive)) as sheet:
                return list(_rows(sheet, strings))
    except (
        zipfile.BadZipFile,
        zlib.error,
        ElementTree.ParseError,
        KeyError,
        ValueError,
        EOFError,
    ) as error:
        raise InputError(
            f"{path}: the Excel workbook cannot be read ({str(error)[:120]}). Open it and save it again as "
            ".xlsx, or save the sheet as csv."
        ) from None


def _strings(archive: zipfile.ZipFile) -> list[str]:
    """Return the texts that cells refer to by number."""
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    root = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
    return ["".join(t.text or "" for t in item.iter(f"{_MAIN}t")) for item in root.iter(f"{_MAIN}si")]


def _first_sheet(archive: zipfile.ZipFile) -> str:
    sheets = ElementTree.fromstring(archive.read("xl/workbook.xml")).iter(f"{_MAIN}sheet")
    wanted = next(sheets).attrib[_LINK]
    for link in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels")):
        if link.attrib.get("Id") == wanted:
            target = link.attrib["Target"]
            return target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    raise KeyError(f"sheet {wanted}")


def _rows(sheet: object, strings: list[str]) -> Iterator[list[str]]:
    """Yield rows, empty ones in between too: rows and cells without content may be left out of the file."""
    done = 0
    for _, element in ElementTree.iterparse(sheet):  # type: ignore[call-overload]
        if element.tag != f"{_MAIN}row":
            continue
        number = int(element.attrib.get("r", done + 1))
        yield from ([] for _ in range(number - done - 1))
        done = number
        row: list[str] = []
        for cell in element.iter(f"{_MAIN}c"):
            column = _column(cell.attrib["r"]) if "r" in cell.attrib else len(row)
            row += [""] * (column - len(row)) + [_content(cell, strings)]
        yield row
        element.clear()


def _column(place: str) -> int:
    match = _CELL.match(place)
    if match is None:
        raise ValueError(f"cell {place!r}")
    number = 0
    for letter in match[1]:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number - 1


def _content(cell: ElementTree.Element, strings: list[str]) -> str:
    kind = cell.attrib.get("t", "n")
    if kind == "inlineStr":
        return "".join(t.text or "" for t in cell.iter(f"{_MAIN}t")).strip()
    value = cell.find(f"{_MAIN}v")
    text = "" if value is None else (value.text or "")
    return strings[int(text)].strip() if kind == "s" and text else text.strip()
