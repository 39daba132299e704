"""Prediction: long recordings in bounded memory, one Parquet file each."""

from murine.predict.run import predict, write_bouts
from murine.predict.sources import PreparedSource
from murine.predict.stream import Source, predict_recording, predict_rows

__all__ = [
    "PreparedSource",
    "Source",
    "predict",
    "predict_recording",
    "predict_rows",
    "write_bouts",
]
