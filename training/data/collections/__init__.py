"""Video collections as lists: UCF-101, HMDB-51, any folder of classes, and the built-in demo."""

from training.data.collections.dataset import Dataset, Video
from training.data.collections.folder import read_folder
from training.data.collections.hmdb51 import read_hmdb51
from training.data.collections.loading import load_dataset
from training.data.collections.ucf101 import read_ucf101

__all__ = ["Dataset", "Video", "load_dataset", "read_folder", "read_hmdb51", "read_ucf101"]
