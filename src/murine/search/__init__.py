"""Settings of a recipe tried out: published grids, drawn at random, or chosen by what the trials before came to."""

from murine.search.files import SearchInfo, list_searches, load_search, save_search, search_from_dict
from murine.search.nested import Nested, search_nested
from murine.search.running import Searched, search
from murine.search.settings import Search
from murine.search.trials import Trial

__all__ = [
    "Nested",
    "Search",
    "SearchInfo",
    "Searched",
    "Trial",
    "list_searches",
    "load_search",
    "save_search",
    "search",
    "search_from_dict",
    "search_nested",
]
