"""Two networks over space and time at once, in PyTorch, to measure against.

R(2+1)D-18: Tran et al. 2018, "A Closer Look at Spatiotemporal Convolutions for Action
Recognition", sections 3.4 and 3.5 and Table 1. C3D: Tran et al. 2015, "Learning Spatiotemporal
Features with 3D Convolutional Networks", section 3.3 and Figure 3. Both take standardised clips
`(batch, 3, l_t, h, w)` and give logits `(batch, num_classes)`.
"""

from torch import Tensor, nn
from torch.nn import functional

from benchmarks.torch_twin import initialize


class R2Plus1D18(nn.Module):
    """R(2+1)D of 18 layers: a stem, and four stages of two residual blocks each."""

    def __init__(self, *, num_classes: int):
        super().__init__()
        self.stem = factorized(3, 64, size=7, strides=(1, 2))
        self.stages = nn.Sequential(
            Residual(64, 64, stride=1),
            Residual(64, 64, stride=1),
            Residual(64, 128, stride=2),
            Residual(128, 128, stride=1),
            Residual(128, 256, stride=2),
            Residual(256, 256, stride=1),
            Residual(256, 512, stride=2),
            Residual(512, 512, stride=1),
        )
        self.classifier = nn.Linear(512, num_classes)
        self.apply(initialize)

    def forward(self, clip: Tensor) -> Tensor:
        x = self.stages(self.stem(clip))
        return self.classifier(x.mean(dim=(2, 3, 4)))


class Residual(nn.Module):
    """Two factorised convolutions, and the input added before the last ReLU."""

    def __init__(self, features: int, filters: int, *, stride: int):
        super().__init__()
        self.first = factorized(features, filters, size=3, strides=(stride, stride))
        self.second = factorized(filters, filters, size=3)[:-1]
        self.shortcut = nn.Identity()
        if stride > 1 or features != filters:
            self.shortcut = nn.Sequential(
                nn.Conv3d(features, filters, 1, stride=stride, bias=False),
                nn.BatchNorm3d(filters),
            )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.shortcut(x))


def factorized(
    features: int, filters: int, *, size: int, strides: tuple[int, int] = (1, 1)
) -> nn.Sequential:
    """A (2+1)D convolution: 1 x d x d, then t x 1 x 1, each with batch normalisation and ReLU.

    Between them are as many maps as give a 3 x d x d convolution's number of weights.

    Args:
        features: maps that come in.
        filters: maps that come out.
        size: `d`.
        strides: in time and in space.
    """
    t, area = 3, size * size
    middle = t * area * features * filters // (area * features + t * filters)
    in_time, in_space = strides
    return nn.Sequential(
        nn.Conv3d(
            features,
            middle,
            (1, size, size),
            stride=(1, in_space, in_space),
            padding=(0, size // 2, size // 2),
            bias=False,
        ),
        nn.BatchNorm3d(middle),
        nn.ReLU(),
        nn.Conv3d(
            middle, filters, (t, 1, 1), stride=(in_time, 1, 1), padding=(t // 2, 0, 0), bias=False
        ),
        nn.BatchNorm3d(filters),
        nn.ReLU(),
    )


class C3D(nn.Module):
    """C3D: eight convolutions over 3x3x3, five poolings in ceil mode, three FCs.

    Args:
        num_classes: number of actions.
        shape: frames, height and width of a clip; the paper's are 16, 112 and 112.
    """

    def __init__(self, *, num_classes: int, shape: tuple[int, int, int] = (16, 112, 112)):
        super().__init__()
        features, layers = 3, []
        for stage, filters in enumerate([(64,), (128,), (256, 256), (512, 512), (512, 512)]):
            for maps in filters:
                layers += [nn.Conv3d(features, maps, 3, padding=1), nn.ReLU()]
                features = maps
            window = (1, 2, 2) if stage == 0 else (2, 2, 2)  # the first keeps time whole
            layers.append(nn.MaxPool3d(window, window, ceil_mode=True))
            shape = tuple(-(-n // by) for n, by in zip(shape, window, strict=True))
        self.convolutions = nn.Sequential(*layers)
        frames, height, width = shape
        self.connected = nn.Sequential(
            nn.Linear(features * frames * height * width, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )
        self.apply(initialize)

    def forward(self, clip: Tensor) -> Tensor:
        return self.connected(self.convolutions(clip).flatten(1))
