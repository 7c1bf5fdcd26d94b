"""FSTCN in PyTorch, layer by layer as the design has it, to measure against.

In two forms: plain, of the layers that PyTorch offers, and tuned, with channels last and the sum
of the LRN by a banded 1x1 convolution. `torch.compile` and autocasting are the caller's.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.torch_lite import efficientnet_lite0
from fstcn_keras.config import FSTCNConfig

LRN = {"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2.0}
PIXELS = {  # mean and divisor of red, green and blue; whether the network takes them reversed
    "vgg_m": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375), False),
    "squeezenet": ((123.68, 116.779, 103.939), (1.0, 1.0, 1.0), True),
    "efficientnet_lite0": ((127.0,) * 3, (128.0,) * 3, False),
}


class FSTCN(nn.Module):
    """The network of `fstcn_keras.fstcn` with both paths, up to the logits.

    Args:
        config: its sizes; `backbone` one of `PIXELS`.
        num_classes: number of actions.
        tuned: whether channels are last in memory and LRN is a banded product.

    Input shape:
        `clip` and `clip_diff`, each `(batch, l_t, 3, h, w)` uint8.

    Output shape:
        `(batch, num_classes)`, logits.
    """

    def __init__(self, config: FSTCNConfig, *, num_classes: int, tuned: bool = False):
        super().__init__()
        self.memory_format = torch.channels_last if tuned else torch.contiguous_format
        mean, std, self.reverse = PIXELS[config.backbone]
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1))
        self.backbone = backbone(config, tuned)
        maps = self.backbone(torch.zeros(1, 3, config.crop_size, config.crop_size))
        _, features, side, _ = maps.shape
        sizes = *config.scl_filters, config.tp_filters, config.tcl_filters
        parallel, temporal, factorised, branch = (round(config.width * size) for size in sizes)

        self.parallel_scl = nn.Conv2d(features, parallel, 3, padding=1)
        self.temporal_scl = nn.Conv2d(features, temporal, 3, padding=1)
        self.tp_operator = nn.Linear(temporal, factorised, bias=False)
        self.conv_3x3 = nn.Conv2d(pooled(side, 3) ** 2, branch, 3, padding=1)
        self.conv_5x5 = nn.Conv2d(pooled(side, 3) ** 2, branch, 5, padding=2)

        first, second = config.path_units
        self.spatial_fc = nn.Linear(pooled(side, 2) ** 2 * parallel, first)
        self.temporal_fc = nn.Linear(config.clip_length * factorised * 2 * branch, first)
        self.spatial_features = nn.Linear(first, second)
        self.temporal_features = nn.Linear(first, second)
        self.spatio_temporal_features = nn.Linear(2 * second, config.joint_units)
        self.logits = nn.Linear(config.joint_units, num_classes)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(initialize)
        self.to(memory_format=self.memory_format)

    def forward(self, clip: Tensor, clip_diff: Tensor) -> Tensor:
        batch, l_t = clip.shape[:2]
        frames = self._normalized(self._chosen(clip), self.mean)
        differences = self._normalized(clip_diff.flatten(0, 1), 0.0)
        maps = self.backbone(torch.cat([frames, differences]))  # (batch + batch*l_t, f, h, w)
        spatial = self._spatial_path(maps[:batch])
        temporal = self._temporal_path(maps[batch:], l_t)
        x = torch.cat([spatial, temporal], dim=1)
        return self.logits(self._connected(x, self.spatio_temporal_features))

    def _chosen(self, clip: Tensor) -> Tensor:
        batch, l_t = clip.shape[:2]
        if not self.training:
            return clip[:, l_t // 2]
        chosen = torch.randint(l_t, (batch,), device=clip.device)
        return clip[torch.arange(batch, device=clip.device), chosen]

    def _normalized(self, x: Tensor, mean: Tensor | float) -> Tensor:
        x = (x.float() - mean) / self.std
        if self.reverse:
            x = x.flip(1)
        return x.contiguous(memory_format=self.memory_format)

    def _spatial_path(self, maps: Tensor) -> Tensor:
        x = functional.relu(self.parallel_scl(maps))
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        x = x.permute(0, 2, 3, 1).flatten(1)
        return self._connected(x, self.spatial_fc, self.spatial_features)

    def _temporal_path(self, maps: Tensor, l_t: int) -> Tensor:
        x = functional.relu(self.temporal_scl(maps))
        x = functional.max_pool2d(x, 3, 3, ceil_mode=True)
        x = x.flatten(2).unflatten(0, (-1, l_t))  # (batch, l_t, f, x*y)
        x = self.tp_operator(x.transpose(2, 3))  # (batch, l_t, x*y, f')
        x = x.transpose(1, 2).contiguous(memory_format=self.memory_format)
        branches = [
            self.dropout(functional.relu(convolution(x)))
            for convolution in (self.conv_3x3, self.conv_5x5)
        ]
        x = torch.cat(branches, dim=1).permute(0, 2, 3, 1).flatten(1)  # (batch, l_t*f'*maps)
        return self._connected(x, self.temporal_fc, self.temporal_features)

    def _connected(self, x: Tensor, *layers: nn.Linear) -> Tensor:
        for layer in layers:
            x = self.dropout(functional.relu(layer(x)))
        return x


class BandedLRN(nn.Module):
    """The numbers of `nn.LocalResponseNorm`, its sum over channels by a 1x1 convolution."""

    def __init__(self, channels: int):
        super().__init__()
        index = torch.arange(channels)
        band = (index[:, None] - index[None, :]).abs() <= LRN["size"] // 2
        self.register_buffer("band", band.float()[:, :, None, None])

    def forward(self, x: Tensor) -> Tensor:
        energy = functional.conv2d(x * x, self.band)
        root = torch.rsqrt(LRN["k"] + LRN["alpha"] / LRN["size"] * energy)
        return x * (root * root.sqrt())  # the power -3/4


class Fire(nn.Module):
    """A module of SqueezeNet: 1x1 convolutions, then 1x1 and 3x3 ones side by side."""

    def __init__(self, features: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(features, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.squeeze1x1(x))
        return functional.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class Scale(nn.Module):
    """Multiplies by one number."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def backbone(config: FSTCNConfig, tuned: bool) -> nn.Sequential:
    """The lower SCLs of a network of these sizes."""
    if config.backbone == "squeezenet":
        return squeezenet()
    if config.backbone == "efficientnet_lite0":
        return efficientnet_lite0(config.crop_size)
    return vgg_m(config.width, tuned)


def vgg_m(width: float, tuned: bool) -> nn.Sequential:
    """The lower SCLs of presets `paper` and `small`."""
    f1, f2, f3, f4 = (round(width * features) for features in (96, 256, 512, 512))

    def norm(features: int) -> nn.Module:
        return BandedLRN(features) if tuned else nn.LocalResponseNorm(**LRN)

    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, f1, 7, stride=2),
            relu1=nn.ReLU(),
            norm1=norm(f1),
            pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
            conv2=nn.Conv2d(f1, f2, 5, stride=2, padding=1),
            relu2=nn.ReLU(),
            norm2=norm(f2),
            pool2=nn.MaxPool2d(3, 2, ceil_mode=True),
            conv3=nn.Conv2d(f2, f3, 3, padding=1),
            relu3=nn.ReLU(),
            conv4=nn.Conv2d(f3, f4, 3, padding=1),
            relu4=nn.ReLU(),
        )
    )


def squeezenet() -> nn.Sequential:
    """The lower SCLs of preset `squeeze`."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(3, 64, 3, stride=2),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
            fire2=Fire(64, 16, 64),
            fire3=Fire(128, 16, 64),
            pool3=nn.MaxPool2d(3, 2, ceil_mode=True),
            fire4=Fire(128, 32, 128),
            fire5=Fire(256, 32, 128),
            pool5=nn.MaxPool2d(3, 2, ceil_mode=True),
            fire6=Fire(256, 48, 192),
            fire7=Fire(384, 48, 192),
            fire8=Fire(384, 64, 256),
            fire9=Fire(512, 64, 256),
            feature_scale=Scale(0.1),
        )
    )


def pooled(side: int, strides: int) -> int:
    """Side of a map after pooling over 3x3 windows in ceil mode."""
    return -(-(side - 3) // strides) + 1


def initialize(module: nn.Module):
    """He's initialisation, and no bias, so that activations keep their size."""
    if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def copy_weights(twin: FSTCN, weights: Sequence[tuple[str, np.ndarray]]):
    """Gives the twin the weights of the Keras model.

    Args:
        twin: takes them.
        weights: path and value of each weight of `fstcn_keras.fstcn`.

    Raises:
        KeyError: if the two do not have the same layers and weights.
        RuntimeError: if a weight has another shape.
    """
    parameters = {
        name.removeprefix("backbone.").replace(".", "_"): parameter
        for name, parameter in twin.named_parameters()
    }
    for path, value in weights:
        layer, name = path.split("/")[-2:]
        suffix = "bias" if name == "bias" else "weight"
        axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}[value.ndim]
        if value.ndim == 4 and layer.endswith("depthwise"):
            axes = (2, 3, 0, 1)
        with torch.no_grad():
            parameters.pop(f"{layer}_{suffix}").copy_(torch.tensor(value.transpose(axes)))
    if parameters:
        raise KeyError(f"without a value: {sorted(parameters)}")
