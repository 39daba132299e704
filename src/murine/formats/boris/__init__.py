"""BORIS: tabular events, aggregated events, project files."""

from murine.formats.boris import aggregated as aggregated
from murine.formats.boris import project as project
from murine.formats.boris import tabular as tabular
