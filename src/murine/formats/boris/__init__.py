"""BORIS: tabular events, aggregated events, project files."""

from murine.formats.boris import tabular as tabular
