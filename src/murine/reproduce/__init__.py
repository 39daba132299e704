"""Each table and figure of the five documents done again: ours beside theirs."""

from murine.reproduce.beside import Cell, Order, Outcome
from murine.reproduce.doing import EntryInfo, list_reproductions, reproduce
from murine.reproduce.entries import Document, Entry, list_documents, load_document

__all__ = [
    "Cell",
    "Document",
    "Entry",
    "EntryInfo",
    "Order",
    "Outcome",
    "list_documents",
    "list_reproductions",
    "load_document",
    "reproduce",
]
