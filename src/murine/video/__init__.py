"""Recordings as pixels: exact frames, geometry, photometry, optical flow, and all of it in one stream."""

from murine.video.reader import VIDEO_SUFFIXES, Video, open_video
from murine.video.streams import StreamSpec, stream_chunks
from murine.video.writer import write_video

__all__ = ["VIDEO_SUFFIXES", "StreamSpec", "Video", "open_video", "stream_chunks", "write_video"]
