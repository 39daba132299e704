"""murine: video and pose of mice and rats into audited ethograms.

Every command of the command line is one function here: `murine.init`, `murine.check`, `murine.evaluate`,
`murine.train`, `murine.predict`, `murine.score`, `murine.report`, `murine.export`, `murine.simulate`,
`murine.demo`. They are loaded when first used, so that `import murine` stays light.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Bouts": ("murine.types", "Bouts"),
    "Ethogram": ("murine.types", "Ethogram"),
    "Pose": ("murine.types", "Pose"),
    "Prediction": ("murine.types", "Prediction"),
    "Recording": ("murine.types", "Recording"),
    "Timeline": ("murine.types", "Timeline"),
    "check": ("murine.project", "check"),
    "create_model": ("murine.models", "create_model"),
    "demo": ("murine.demo", "demo"),
    "evaluate": ("murine.train.crossval", "evaluate"),
    "export": ("murine.export", "export"),
    "init": ("murine.project", "init"),
    "load_project": ("murine.project", "load_project"),
    "load_recipe": ("murine.config", "load_recipe"),
    "open_video": ("murine.video", "open_video"),
    "predict": ("murine.predict", "predict"),
    "read_labels": ("murine.formats", "read_labels"),
    "read_pose": ("murine.formats", "read_pose"),
    "read_prediction": ("murine.predictions", "read_prediction"),
    "report": ("murine.reporting", "report"),
    "score": ("murine.scoring", "score_paths"),
    "simulate": ("murine.simulate", "simulate"),
    "train": ("murine.train.run", "train"),
    "write_labels": ("murine.formats", "write_labels"),
}

__all__ = ["__version__", *sorted(_PUBLIC)]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'murine' has no attribute '{name}'")
    module, attribute = _PUBLIC[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return list(__all__)
