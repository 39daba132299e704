"""murine: video and pose of mice and rats into audited ethograms.

For notebooks: `from murine import api`, then `api.init`, `api.check`, `api.evaluate` and so on, one function
for each command of the command line.
"""

__version__ = "0.1.0"
