"""How the documentation is built: `make docs`, warnings are errors."""

import murine

project = "murine"
author = "the murine developers"
copyright = "2026, the murine developers"
version = release = murine.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"murine {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
default_role = "code"
nitpicky = False
