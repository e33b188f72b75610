"""Any ``nn.Module`` as an encoder: what it gives is found by showing it one grey image, and two."""

from __future__ import annotations

import importlib
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from likewise.counts import amount
from likewise.encoders.autograd_leaves import leaves
from likewise.encoders.encoder import Encoder
from likewise.encoders.eval_mode import eval_mode
from likewise.errors import LikewiseError
from likewise.field_types import SIZE, typed_arguments

_CLASSIFIER = re.compile(r"(^|\.)(fc|heads?|classifier)(\.|$)")
"""What the last layer of a classifier is called in torchvision and timm."""

MODULE = "module:"
"""Prefix of an encoder's stored name for the import path of a user's module."""


class ModuleEncoder(Encoder):
    """A user's network, from normalised pixels [B, C, S, S] to features [B, D] or to a map [B, D, h, w].

    Args:
        network: the module; it is used as it is, not copied.
        image_size: side in pixels of the images that it will see.
        mean: subtracted per channel before the module; ``(0, 0, 0)`` where the module normalises itself.
        std: divides per channel; ``(1, 1, 1)`` where the module normalises itself.

    Raises:
        LikewiseError: the module cannot read such images, or gives something else than [B, D] or [B, D, h, w].
    """

    @typed_arguments(image_size=SIZE)
    def __init__(
        self, network: nn.Module, image_size: int, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        features = _dry_run(network, len(mean), image_size)
        super().__init__(features.shape[1], mean, std)
        self.network = network
        self._gives_map = features.dim() == 4
        may_learn = _may_learn(network) and _has_graph(network)
        self.is_cut_off = may_learn and not features.requires_grad
        """whether no gradient gets from the features to the parameters, though some want one"""

    @property
    def has_map(self) -> bool:
        """Whether the module gives a map [B, D, h, w]."""
        return self._gives_map

    def forward(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> [B, width]; a map is averaged over its locations.

        Raises:
            LikewiseError: the module gives more or fewer rows than there are images.
        """
        features = self._seen(pixels)
        return self.pool(features) if self.has_map else features

    def feature_map(self, pixels: Tensor) -> Tensor:
        """Float [B, C, S, S] in [0, 1] -> [B, width, h, w].

        Raises:
            LikewiseError: the module gives pooled features, or not a row for each image.
        """
        self._require_map()
        return self._seen(pixels)

    def forward_with_maps(self, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What `forward` gives, and the map after each stage; the last map alone where there are no stages."""
        self._require_map()
        if self._stages is not None:
            return super().forward_with_maps(pixels)
        features = self._seen(pixels)
        return self.pool(features), [features]

    def stage_maps(self, pixels: Tensor) -> list[Tensor]:
        """Float [B, C, S, S] in [0, 1] -> the map after each stage, [B, width of the stage, s, s].

        Raises:
            LikewiseError: the module has no stages, or they give more or fewer rows than there are images.
        """
        made = super().stage_maps(pixels)
        self._require_rows(made[-1], pixels)
        return made

    def stages(self) -> Sequence[nn.Module]:
        """The children of an ``nn.Sequential`` that gives a map, or what the module's own ``stages()`` returns.

        Raises:
            LikewiseError: the module has neither.
        """
        if self._stages is None:
            raise LikewiseError(
                f"{_class_name(self.network)} cannot be run stage by stage, which this method needs. Give an "
                f"nn.Sequential of stages that ends in a map [B, D, h, w], or a module whose stages() returns them."
            )
        return self._stages

    @property
    def _stages(self) -> list[nn.Module] | None:
        stages: Any = getattr(self.network, "stages", None)
        if callable(stages) and not isinstance(stages, nn.Module):
            parts: Any = stages()
            return list(parts)
        if self.has_map and isinstance(self.network, nn.Sequential):
            return list(self.network)
        return None

    def _seen(self, pixels: Tensor) -> Tensor:
        """What the module gives for images, a row for each."""
        features = self.network(self.normalise(pixels))
        self._require_rows(features, pixels)
        return features

    def _require_rows(self, features: Tensor, pixels: Tensor) -> None:
        """Refuse what the dry run cannot see: a module that treats large batches otherwise than two images."""
        # len() would be a constant to an exporter, and the graph one of a single batch size.
        if features.shape[0] != pixels.shape[0]:
            raise LikewiseError(
                f"The encoder {_class_name(self.network)} gives {tuple(features.shape)} for "
                f"{amount(len(pixels), 'image')}; allowed is a row for each, in the order of the images: "
                f"[{len(pixels)}, ...]. Let its forward keep the first dimension as it is: no x[:n], no view(n, -1)."
            )

    def _require_map(self) -> None:
        if not self.has_map:
            raise LikewiseError(
                f"{_class_name(self.network)} gives pooled features [B, {self.width}], but a map [B, D, h, w] is "
                f"needed here. Give the module without its last pooling."
            )


def module_warnings(encoder: nn.Module) -> list[str]:
    """What should be known of a user's module before it is trained; nothing of other encoders.

    A network that was built for classification gives logits, which are then learned as features; a frozen one learns
    nothing.
    """
    if not isinstance(encoder, ModuleEncoder):
        return []
    said, name = [], _class_name(encoder.network)
    if list(encoder.network.parameters()) and not _may_learn(encoder.network):
        said.append(
            f"the encoder {name} is frozen (no parameter requires a gradient): only the heads on it learn."
        )
    if encoder.is_cut_off:
        said.append(
            f"the encoder {name} does not learn, only the heads on it do: its forward cuts its features off from its "
            f"parameters. Leave out torch.no_grad(), .detach(), .data and NumPy there; or, if that is meant, freeze "
            f"it by requires_grad_(False)."
        )
    layers = [
        (path, part)
        for path, part in encoder.network.named_modules()
        if isinstance(part, nn.Linear)
    ]
    path, last = layers[-1] if layers else ("", None)
    if last is not None and last.out_features == encoder.width and _CLASSIFIER.search(path):
        said.append(
            f"the encoder {name} ends in the layer {path!r}, whose {amount(last.out_features, 'output')} are taken as "
            f"the features. If it is a classifier, put nn.Identity() in its place; of timm's networks "
            f"give num_classes=0."
        )
    return said


def network_of(module: nn.Module) -> nn.Module:
    """The user's network inside a `ModuleEncoder` or a wrapper; any other module is itself."""
    return unwrapped(module.network if isinstance(module, ModuleEncoder) else module)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module inside DataParallel, DistributedDataParallel and `torch.compile`, whose work is done here."""
    while True:
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        elif is_compiled(module):
            module = module.get_submodule("_orig_mod")
        else:
            return module


def is_compiled(module: nn.Module) -> bool:
    """Whether a module was made by `torch.compile`, whose class is slow to import."""
    return type(module).__name__ == "OptimizedModule" and hasattr(module, "_orig_mod")


def import_path(module: nn.Module) -> str:
    """Where the class of a module is defined: ``package.file:Class``."""
    return f"{type(module).__module__}:{type(module).__qualname__}"


def rebuilt_module(path: str) -> nn.Module:
    """A new module from `import_path`, made by calling its class without arguments.

    Raises:
        LikewiseError: the class cannot be imported, or needs arguments; pass the module then.
    """
    file, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(file)
        for part in name.split("."):
            found = getattr(found, part)
        module = found()
    except Exception as error:  # a user's code may raise anything
        raise LikewiseError(
            f"The encoder of this run is {path}, which cannot be built again from its name "
            f"({type(error).__name__}: {error}). Pass a module of the same shape: "
            f"likewise.load(path, encoder=module)."
        ) from error
    return module


@torch.inference_mode(False)
def _dry_run(network: nn.Module, channels: int, image_size: int) -> Tensor:
    """What the module gives for one grey image: [1, D] or [1, D, h, w]. Modes and statistics stay as they are."""
    _refuse_state(network)
    like = next(network.parameters(), torch.zeros(1))
    with eval_mode(network):
        try:
            grey = torch.zeros(2, channels, image_size, image_size).to(like)
            with torch.set_grad_enabled(_has_graph(network)):
                of_one = network(grey[:1])
            # This comes last: what the network keeps of it has no graph, and can be copied.
            with torch.no_grad():
                of_two = network(grey)
        except Exception as error:  # a user's code may raise anything
            raise LikewiseError(
                f"The encoder {_class_name(network)} cannot read images [B, {channels}, {image_size}, {image_size}]: "
                f"{str(error).rstrip('.')}. Choose its number of input channels and --image-size to fit."
            ) from error
    features = _checked_features(of_one, network)
    _refuse_strangers(features, network)
    if of_two.shape != (2, *features.shape[1:]):
        raise LikewiseError(
            f"The encoder {_class_name(network)} gives {tuple(features.shape)} for one image, but "
            f"{tuple(of_two.shape)} for two; a row for each is wanted. Keep the first dimension: x.flatten(1), not "
            f"x.view(1, -1)."
        )
    return features


def _refuse_state(network: nn.Module) -> None:
    """Refuse parameters and other state that cannot be trained or stored."""
    name = _class_name(network)
    if isinstance(network, torch.jit.ScriptModule):
        raise LikewiseError(
            f"The encoder is TorchScript ({name}), which cannot be copied and trained here. Give the nn.Module that "
            f"it was made of."
        )
    others = [key for key, value in network.state_dict().items() if not isinstance(value, Tensor)]
    if others:
        raise LikewiseError(
            f"The encoder {name} keeps {others[0]}, which is no tensor, in its state_dict() (get_extra_state). Weights "
            f"are stored as tensors alone: register it as a buffer, or leave it out."
        )
    for key, parameter in network.named_parameters():
        if parameter.is_meta:
            raise LikewiseError(
                f"The encoder {name} has the parameter {key} on the device meta, without numbers. Make the network "
                f"on the CPU, or load its weights with load_state_dict(..., assign=True)."
            )
        if parameter.is_floating_point() and parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise LikewiseError(
                f"The encoder {name} has parameters of {kind}, for instance {key}. Give it in float32, "
                f"module.float(); precision= chooses what it computes in."
            )


def _refuse_strangers(features: Tensor, network: nn.Module) -> None:
    """Refuse weights that the module uses and does not have: they would be neither trained nor stored."""
    strangers = leaves(features).difference(network.parameters())
    if strangers:
        shapes = " and ".join(str(tuple(each.shape)) for each in list(strangers)[:2])
        raise LikewiseError(
            f"The encoder {_class_name(network)} uses tensors that require a gradient and are none of its parameters, "
            f"of shape {shapes}. They would be neither trained nor stored. Keep layers in nn.ModuleList or "
            f"nn.ModuleDict instead of a plain list or dict, and tensors as nn.Parameter."
        )


def _has_graph(network: nn.Module) -> bool:
    """Whether a forward can be differentiated: nothing was made in inference mode."""
    tensors = [*network.parameters(), *network.buffers()]
    made = [each for each in tensors if not is_lazy(each)]
    return not any(each.is_inference() for each in made)


def _may_learn(network: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in network.parameters())


def _checked_features(features: Any, network: nn.Module) -> Tensor:
    """What a module gave for one image; [1, D] or [1, D, h, w]."""
    if not isinstance(features, Tensor):
        raise LikewiseError(
            f"The encoder {_class_name(network)} gives {type(features).__name__}; allowed is a tensor [B, D] or a map "
            f"[B, D, h, w]. Wrap it in a module that returns that tensor alone."
        )
    if features.dim() not in (2, 4) or len(features) != 1:
        raise LikewiseError(
            f"The encoder {_class_name(network)} gives {tuple(features.shape)} for one image; allowed is [B, D] or "
            f"a map [B, D, h, w]."
        )
    allowed = [torch.float32]
    if torch.is_autocast_enabled(features.device.type):
        allowed += [torch.bfloat16, torch.float16]
    if features.dtype not in allowed:
        kind = str(features.dtype).removeprefix("torch.")
        raise LikewiseError(
            f"The encoder {_class_name(network)} gives features of {kind}; allowed is float32. End its forward with "
            f".float(); precision= chooses what it computes in."
        )
    return features


def _class_name(module: nn.Module) -> str:
    return type(module).__name__
