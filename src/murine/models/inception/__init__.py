"""Inception-V1 and what was made of it: the 2D network, I3D, and the 2D network inflated to 3D."""

from murine.models.inception import i3d, inflation
from murine.models.inception.inception_v1 import InceptionV1

__all__ = ["InceptionV1", "i3d", "inflation"]
