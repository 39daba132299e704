"""Published data sets: a reader for the folder of each publisher, which makes a project of it.

A data set is one file here and one import line below.
"""

from murine.project.datasets import calms21 as calms21
from murine.project.datasets import forced_swim as forced_swim
from murine.project.datasets import mit_clipped as mit_clipped
from murine.project.datasets import mit_full as mit_full
from murine.project.datasets import open_field as open_field
from murine.project.datasets import scorhe as scorhe
from murine.project.datasets import ucf101 as ucf101
from murine.project.datasets.base import DATASETS, Content, Dataset, Request
from murine.project.datasets.making import MadeProject, init_dataset

__all__ = ["DATASETS", "Content", "Dataset", "MadeProject", "Request", "init_dataset"]
