"""Any image backbone of timm behind our contract."""

from __future__ import annotations

import copy
import difflib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from likewise.encoders.encoder import Encoder
from likewise.encoders.small import SMALL
from likewise.encoders.weight_normed import NINE
from likewise.errors import EnvironmentIOError, LikewiseError
from likewise.offline import is_offline, require_online, tell_clients

NETWORK_LIBRARIES = ("httpcore", "httpx", "huggingface_hub", "requests", "urllib3")
"""Packages whose exceptions mean that weights were out of reach; not all of them are OSErrors."""
LOCAL_WEIGHTS = (
    "--pretrained lite0, whose weights come in a package, "
    "or a local file: --pretrained path/to/weights.safetensors."
)


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class TimmEncoder(Encoder):
    """A timm network without its classifier: pooled features, a map in [B, D, s, s], and stages where it has them.

    Args:
        network: of timm, without a classifier.
        name: its name in timm.
        mean: per channel.
        std: per channel.
        intermediates: how many of its last intermediate maps are pooled and follow the features; 0 for none.
    """

    def __init__(
        self,
        network: Any,
        name: str,
        mean: Sequence[float],
        std: Sequence[float],
        intermediates: int = 0,
    ) -> None:
        width = network.num_features + _intermediate_width(network, intermediates)
        super().__init__(width, mean, std)
        self.network = network
        self.name = name
        self.intermediates = intermediates

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> pooled features [B, width], pooled as the network's authors do.

        With intermediate maps each part, the features and every pooled map, has unit norm.
        """
        if self.intermediates:
            return self._with_intermediates(self.normalise(pixels))
        maps = self.network.forward_features(self.normalise(pixels))
        return self.network.forward_head(maps, pre_logits=True)

    def _with_intermediates(self, normalised: Tensor) -> Tensor:
        last, maps = self.network.forward_intermediates(normalised, indices=self.intermediates)
        features = self.network.forward_head(last, pre_logits=True)
        parts = [functional.normalize(features)]
        for each in reversed(maps):  # from the last to the first
            parts.append(functional.normalize(each.mean(dim=(2, 3))))
        return torch.cat(parts, dim=1)

    def feature_map(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> [B, width, s, s]; a transformer's tokens laid out as the map they form."""
        return self._as_map(self.network.forward_features(self.normalise(pixels)), pixels)

    def _as_map(self, maps: Tensor, pixels: Tensor) -> Tensor:
        """What ``forward_features`` gave as [B, width, s, s]."""
        if maps.dim() == 4:
            channels_come_last = getattr(self.network, "output_fmt", "NCHW") == "NHWC"
            return maps.permute(0, 3, 1, 2) if channels_come_last else maps
        tokens = maps[:, getattr(self.network, "num_prefix_tokens", 0) :]
        height, width = self.network.patch_embed.dynamic_feat_size(pixels.shape[-2:])
        return tokens.transpose(1, 2).unflatten(2, (height, width))

    def forward_with_maps(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What `forward` gives, and the map after each stage; a transformer's last map alone."""
        if not self.has_stages:
            tokens = self.network.forward_features(self.normalise(pixels))
            features = self.network.forward_head(tokens, pre_logits=True)
            return features, [self._as_map(tokens, pixels)]
        maps = self.stage_maps(pixels)
        return self.network.forward_head(maps[-1], pre_logits=True), maps

    @property
    def has_stages(self) -> bool:
        """Whether it can be run stage by stage."""
        is_convnext = hasattr(self.network, "stem") and hasattr(self.network, "stages")
        return self._is_resnet or is_convnext

    @property
    def _is_resnet(self) -> bool:
        return hasattr(self.network, "layer1") and hasattr(self.network, "conv1")

    def stages(self) -> Sequence[nn.Module]:
        """Stem and stages of ResNet-like and ConvNeXt-like networks, to be run in order on normalised pixels."""
        if not self.has_stages:
            raise LikewiseError(
                f"timm/{self.name} cannot be run stage by stage. Choose a ResNet or a ConvNeXt, "
                f"for instance --encoder timm/resnet18."
            )
        net = self.network
        if self._is_resnet:
            activation = getattr(net, "act1", nn.Identity())
            stem = nn.Sequential(net.conv1, net.bn1, activation, net.maxpool)
            return [nn.Sequential(stem, net.layer1), net.layer2, net.layer3, net.layer4]
        first, *rest = net.stages
        last_norm = getattr(net, "norm_pre", nn.Identity())
        return [nn.Sequential(net.stem, first), *rest, last_norm]

    def another_stage(self) -> nn.Module:
        """A ResNet's last block as often as its last stage has blocks."""
        if not hasattr(self.network, "layer4"):
            raise LikewiseError(
                f"timm/{self.name} cannot be given another stage. Choose a ResNet, for instance "
                f"--encoder timm/resnet18."
            )
        last = self.network.layer4
        return nn.Sequential(*(copy.deepcopy(last[-1]) for _ in last))


def _intermediate_width(network: Any, count: int) -> int:
    """Channels of the last intermediate maps of a network, together.

    Raises:
        LikewiseError: it has fewer of them.
    """
    widths = [each["num_chs"] for each in network.feature_info] if count else []
    if count > len(widths):
        raise LikewiseError(
            f"{count} intermediate maps were asked for; this network has {len(widths)}."
        )
    return sum(widths[len(widths) - count :])


def timm_encoder(
    name: str,
    image_size: int,
    small_stem: bool,
    mean: Sequence[float],
    std: Sequence[float],
    pretrained: bool,
    intermediates: int = 0,
) -> TimmEncoder:
    """Build a timm network by its name.

    Args:
        name: as in ``timm.list_models()``, with its pretrained tag if wanted (``resnet18.a1_in1k``).
        image_size: side of the input in pixels; transformers are built for it.
        small_stem: replace a ResNet's 7x7 stride-2 stem and max-pool by a 3x3 stride-1 convolution, as is usual
            for CIFAR ( He et al. 2016, Sec. 4.2, https://arxiv.org/abs/1512.03385).
        mean: per channel, in [0, 1]; their number is the number of colour channels.
        std: per channel.
        pretrained: load timm's weights, from its cache or the Hub.
        intermediates: how many of its last intermediate maps follow the features.

    Raises:
        LikewiseError: an unknown name, or a stem that the network does not have.
        EnvironmentIOError: weights that are neither in the cache nor within reach.
    """
    import timm  # timm takes a second to import, which most commands do without

    if not timm.is_model(name.split(".")[0]):
        raise LikewiseError(f"There is no encoder timm/{name}. {_nearest(name)}")
    network = _create(name, image_size, len(mean), pretrained)
    _require_whole_patches(network, name, image_size)
    if small_stem:
        _replace_stem(network, name, len(mean))
    return TimmEncoder(network, name, mean, std, intermediates)


def _require_whole_patches(network: nn.Module, name: str, image_size: int) -> None:
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", (1, 1))
    if any(image_size % side for side in patch):
        nearest = max(round(image_size / patch[0]), 1) * patch[0]
        raise LikewiseError(
            f"timm/{name} cuts images into patches of {patch[0]} pixels, which do not tile images of {image_size} "
            f"pixels. Choose a multiple, for instance --image-size {nearest}."
        )


def _replace_stem(network: Any, name: str, channels: int) -> None:
    """Put a 3x3 stride-1 convolution in the place of a ResNet's stem."""
    if not has_large_stem(network):
        raise LikewiseError(
            f"timm/{name} has no 7x7 stem with max-pool to replace. Leave --stem at auto, or choose a ResNet."
        )
    width = network.conv1.out_channels
    network.conv1 = nn.Conv2d(channels, width, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()


def with_intermediates(encoder: TimmEncoder, count: int) -> TimmEncoder:
    """The same network, whose pooled last intermediate maps follow its features."""
    mean = encoder.mean.flatten().tolist()
    std = encoder.std.flatten().tolist()
    pooled = TimmEncoder(encoder.network, encoder.name, mean, std, count)
    return pooled.train(encoder.training)


def has_large_stem(network: nn.Module) -> bool:
    """Whether the network begins as ResNets for ImageNet do: a single strided convolution, then max-pooling."""
    first = getattr(network, "conv1", None)
    second = getattr(network, "maxpool", None)
    return isinstance(first, nn.Conv2d) and isinstance(second, nn.MaxPool2d)


def statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that a network's pretrained weights expect.

    Raises:
        LikewiseError: timm has the network, but not such weights.
    """
    import timm

    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise _no_such_weights(name) from error
    if not settings:
        return IMAGENET_MEAN, IMAGENET_STD
    return settings.mean, settings.std


def _create(name: str, image_size: int, channels: int, pretrained: bool) -> Any:
    import timm

    settings: dict[str, Any] = {"in_chans": channels, "num_classes": 0, "pretrained": pretrained}
    if pretrained and is_offline():
        tell_clients()
        _require_hub(name)
    try:
        with torch.random.fork_rng(enabled=pretrained), _quiet_downloads():
            try:
                return timm.create_model(name, img_size=image_size, **settings)
            except TypeError:  # convolutional networks take any size and refuse the argument
                return timm.create_model(name, **settings)
    except (AssertionError, ValueError) as error:
        raise LikewiseError(
            f"timm/{name} cannot read images of {image_size} pixels: {error}."
        ) from error
    except RuntimeError as error:
        if not pretrained:
            raise
        raise _no_such_weights(name) from error
    except Exception as error:
        library = type(error).__module__.partition(".")[0]
        if not isinstance(error, OSError) and library not in NETWORK_LIBRARIES:
            raise
        require_online(f"The pretrained weights of timm/{name}", LOCAL_WEIGHTS)
        raise EnvironmentIOError(
            f"The pretrained weights of timm/{name} are not in timm's cache and could not be fetched "
            f"({type(error).__name__}). Without a network: {LOCAL_WEIGHTS}"
        ) from error


def _require_hub(name: str) -> None:
    """Refuse weights that are not on the Hub: their downloads know nothing of its client's cache.

    Raises:
        LikewiseError: timm fetches them from elsewhere.
    """
    import timm

    found = timm.get_pretrained_cfg(name, allow_unregistered=True)
    if found is None or not found.hf_hub_id:
        require_online(f"The pretrained weights of timm/{name}", LOCAL_WEIGHTS)


def _no_such_weights(name: str) -> LikewiseError:
    return LikewiseError(
        f"timm has no pretrained weights named {name}. It lists those that it has: "
        f"timm.list_pretrained('{name.split('.')[0]}*')."
    )


@contextmanager
def _quiet_downloads() -> Iterator[None]:
    """The Hub's client tells of each retry; one error at the end says the same."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _nearest(name: str) -> str:
    import timm

    if name == "lite0":
        return "That is the name of weights: leave --encoder out, or type --pretrained lite0."
    close = difflib.get_close_matches(name, timm.list_models(), n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]!r}? " if close else ""
    return f"{hint}See timm.list_models() for all of them; ours are {', '.join([*SMALL, *NINE])}."
