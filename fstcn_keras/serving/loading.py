"""What a server scores with."""

from pathlib import Path

from fstcn_keras.classifier import ActionClassifier


def load_classifier(folder: Path) -> tuple[ActionClassifier, str]:
    return ActionClassifier.load(folder), folder.name
