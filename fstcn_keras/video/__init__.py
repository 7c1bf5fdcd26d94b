"""Videos as frames: decoding by PyAV, and frames at the size that views are cut from."""

from fstcn_keras.video.reader import MAX_SIDE, VideoError, VideoReader, VideoTooLarge

__all__ = ["MAX_SIDE", "VideoError", "VideoReader", "VideoTooLarge"]
