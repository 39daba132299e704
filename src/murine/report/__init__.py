"""What was found, as one page that anybody can open, print and send."""

from murine.report.beside import save_files
from murine.report.data import ReportData, ReportRecording
from murine.report.drawing import save_picture
from murine.report.figures import FIGURES, RECORDING_FIGURES, save_figures
from murine.report.methods import methods_text
from murine.report.page import write_report

__all__ = [
    "FIGURES",
    "RECORDING_FIGURES",
    "ReportData",
    "ReportRecording",
    "methods_text",
    "save_figures",
    "save_files",
    "save_picture",
    "write_report",
]
