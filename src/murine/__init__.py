"""murine: video and pose of mice and rats into audited ethograms."""

__version__ = "0.1.0"
