"""Lists the backbones: networks that map one frame to a feature map.

The paper's lower spatial convolutional layers are `vgg_m`. To add a backbone, write a module here
with a dictionary `BACKBONES` of `Backbone`s by name, and list the names below; `FSTCNConfig`, the
command line and the reports take them from here. Keras is imported with the first backbone that is
built, not with the names.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fstcn_keras.backbones.backbone import Backbone

_MODULES = {
    "vgg_m": "vgg_m",
    "squeezenet": "squeezenet",
    "efficientnet_lite0": "efficientnet_lite",
    "efficientnet_lite1": "efficientnet_lite",
    "efficientnet_lite2": "efficientnet_lite",
    "resnet50v2": "applications",
    "mobilenetv3small": "applications",
    "mobilenetv3large": "applications",
    "efficientnetv2b0": "applications",
    "vgg16": "applications",
    "densenet121": "applications",
}
BACKBONE_NAMES = tuple(_MODULES)


def get_backbone(name: str) -> "Backbone":
    """Returns the backbone of this name.

    Example:
        >>> get_backbone("vgg_m").channel_order
        'rgb'

    Args:
        name: one of `BACKBONE_NAMES`.

    Raises:
        ValueError: if there is none.
    """
    if name not in _MODULES:
        raise ValueError(f"`name` must be one of {BACKBONE_NAMES}. Received: {name!r}")
    module = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    return module.BACKBONES[name]
