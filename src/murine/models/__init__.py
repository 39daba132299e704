"""Networks: one file or folder per family, had by name through the factory."""

from murine.models import (
    asformer,
    baselines,
    c3d,
    committee,
    dual_stream,
    frames,
    inception,
    ms_tcn,
    multitask,
    pooled,
    recurrent,
    temporal_conv,
    transformer,
    trees,
)
from murine.models.contract import Batch, Model, Output
from murine.models.factory import (
    MODELS,
    ModelEntry,
    complete_settings,
    create_model,
    describe_models,
    model_settings,
    setting_faults,
)
from murine.models.saved import LoadedModel, load_model, save_model

__all__ = [
    "MODELS",
    "Batch",
    "LoadedModel",
    "Model",
    "ModelEntry",
    "Output",
    "asformer",
    "baselines",
    "c3d",
    "committee",
    "complete_settings",
    "create_model",
    "describe_models",
    "dual_stream",
    "frames",
    "inception",
    "load_model",
    "model_settings",
    "ms_tcn",
    "multitask",
    "pooled",
    "recurrent",
    "save_model",
    "setting_faults",
    "temporal_conv",
    "transformer",
    "trees",
]
