"""Decodes videos by PyAV, and resizes frames to what views are cut from."""

from fstcn_keras.video.reader import MAX_SIDE, VideoError, VideoReader, VideoTooLarge

__all__ = ["MAX_SIDE", "VideoError", "VideoReader", "VideoTooLarge"]
