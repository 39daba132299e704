"""The dual-stream networks of Nwokedi et al., "Dual-stream spatiotemporal networks with feature sharing
for monitoring animals in the home cage", to their published parameter counts.

An RGB clip and the optical flow of the same frames pass through two columns of 3D convolutions. In the
*sharing* networks the columns meet after every module, in the *standalone* ones only at the end.
Structure and counts: Tables 1 and 2 of the paper; what the paper leaves open is said where it is decided.
"""

from murine.models.dual_stream.added import AddedStreams, BaselineSharing, BaselineStandalone
from murine.models.dual_stream.base import DualStream
from murine.models.dual_stream.civ3d import (
    CIv3DBiLSTMSharing,
    CIv3DBiLSTMStandalone,
    CIv3DMHASharing,
    CIv3DMHAStandalone,
)
from murine.models.dual_stream.concatenated import (
    ConcatenatedStreams,
    CRSSharing,
    CRSStandalone,
    SRSSharing,
    SRSStandalone,
)

__all__ = [
    "AddedStreams",
    "BaselineSharing",
    "BaselineStandalone",
    "CIv3DBiLSTMSharing",
    "CIv3DBiLSTMStandalone",
    "CIv3DMHASharing",
    "CIv3DMHAStandalone",
    "CRSSharing",
    "CRSStandalone",
    "ConcatenatedStreams",
    "DualStream",
    "SRSSharing",
    "SRSStandalone",
]
