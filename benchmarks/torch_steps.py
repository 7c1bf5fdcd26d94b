"""Steps of networks in PyTorch, for a worker of `benchmarks.step` and `benchmarks.gpu`."""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from benchmarks.torch_peers import C3D, R2Plus1D18
from benchmarks.torch_twin import FSTCN
from benchmarks.workers import NUM_CLASSES, Work
from fstcn_keras.config import PRESETS

CLIP = 10  # images of a peer's clip: as many as FSTCN's two inputs have
PEERS = ("R(2+1)D-18", "C3D")


def step(
    *,
    network: str,
    crop_size: int,
    form: str,
    precision: str,
    phase: str,
    batch: int,
    repeats: int = 1,
) -> Work:
    """A training step (forward, loss, backward, update) or a forward pass.

    Args:
        network: a preset of FSTCN, or one of `PEERS`.
        crop_size: side of the images, pixels.
        form: `"plain"`, or `"tuned"`: channels last, compiled, its update fused.
        precision: `"float32"`, or `"bfloat16"` by autocasting.
        phase: `"training"` or `"inference"`.
        batch: clips of a step.
        repeats: steps of a call, synchronised once.
    """
    model, optimizer = _network(network, crop_size, form)
    *inputs, labels = _batch(network, crop_size, form, batch)
    autocast = torch.autocast(_device(), torch.bfloat16, enabled=precision == "bfloat16")

    def training():
        model.train()
        with autocast:
            logits = model(*inputs)
        functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def inference():
        model.eval()
        with torch.inference_mode(), autocast:
            model(*inputs)

    once = training if phase == "training" else inference
    flops = repeats * batch * clip_flops(network, crop_size, phase)
    return Work(lambda: _synchronized(once, repeats), flops)


def peak(*, precision: str, size: int, repeats: int = 1) -> Work:
    """A product of two square matrices."""
    left, right = torch.randn(2, size, size, dtype=getattr(torch, precision), device=_device())
    return Work(lambda: _synchronized(lambda: left @ right, repeats), repeats * 2 * size**3)


@functools.cache
def clip_flops(network: str, crop_size: int, phase: str) -> int:
    """Operations of one clip in products and convolutions, as PyTorch counts them.

    Args:
        network: as for `step`.
        crop_size: as for `step`.
        phase: as for `step`.
    """
    with torch.device("meta"):
        model = _build(network, crop_size, tuned=False)
        if network in PEERS:
            inputs = [torch.zeros(1, 3, CLIP, crop_size, crop_size)]
        else:
            inputs = [torch.zeros(1, PRESETS[network].clip_length, 3, crop_size, crop_size)] * 2
        with flop_counter() as counter:
            logits = model(*inputs)
            if phase == "training":
                logits.sum().backward()
    return counter.get_total_flops()


def flop_counter() -> FlopCounterMode:
    """PyTorch's counter of operations, but for the gradients of convolutions.

    PyTorch counts those of a depthwise kernel as if each filter saw all channels.
    """
    gradients = {torch.ops.aten.convolution_backward: _gradient_flops}
    return FlopCounterMode(display=False, custom_mapping=gradients)


def device() -> str:
    """Name of the GPU, or `"CPU"`."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"


def reason(error: Exception) -> str | None:
    """Why the machine cannot, see `Worker`."""
    if isinstance(error, torch.OutOfMemoryError):
        return "out of memory"
    if isinstance(error, torch._dynamo.exc.TorchDynamoException):
        return f"torch.compile fails: {str(error).strip().splitlines()[0]}"
    return None


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _synchronized(once, repeats: int):
    for _ in range(repeats):
        once()
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@functools.cache
def _network(name: str, crop_size: int, form: str):
    """The network, shared by its precisions and phases, and its optimiser."""
    tuned = form == "tuned"
    model = _build(name, crop_size, tuned).to(_device())
    if tuned and name in PEERS:
        model = model.to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, fused=tuned
    )
    return (torch.compile(model) if tuned else model), optimizer


def _build(name: str, crop_size: int, tuned: bool) -> nn.Module:
    if name == "R(2+1)D-18":
        return R2Plus1D18(num_classes=NUM_CLASSES)
    if name == "C3D":
        return C3D(num_classes=NUM_CLASSES, shape=(CLIP, crop_size, crop_size))
    return FSTCN(PRESETS[name], num_classes=NUM_CLASSES, tuned=tuned)


def _batch(name: str, crop_size: int, form: str, batch: int) -> list[Tensor]:
    """Inputs, in the form's layout, and labels, on the device."""
    labels = torch.randint(NUM_CLASSES, (batch,), device=_device())
    if name in PEERS:
        clip = torch.randn(batch, 3, CLIP, crop_size, crop_size, device=_device())
        layout = torch.channels_last_3d if form == "tuned" else torch.contiguous_format
        return [clip.contiguous(memory_format=layout), labels]
    shape = (2, batch, PRESETS[name].clip_length, crop_size, crop_size, 3)
    pixels = torch.randint(256, shape, dtype=torch.uint8, device=_device())
    pixels = pixels.permute(0, 1, 2, 5, 3, 4)
    return [*(pixels if form == "tuned" else pixels.contiguous()), labels]


def _gradient_flops(gradient, images, kernel, *arguments, **_) -> int:
    """As many operations as forward, for the images' gradient and as many for the kernel's."""
    of_images, of_kernel, _ = arguments[-1]  # which of them are asked for, and of the bias
    return (of_images + of_kernel) * conv_flop_count(images, kernel, gradient)
