"""A user's own augmentation as views: any callable on a PIL image, on a uint8 tensor, or of albumentations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from likewise.data.batch import Pixels
from likewise.errors import LikewiseError
from likewise.randomness import BatchRNG, generator
from likewise.views.transform import channels_first
from likewise.views.view import View, unknown_box

if TYPE_CHECKING:
    from likewise.views.view_policy import ViewPolicy

Takes = Literal["pil", "tensor", "albumentations"]
"""What a callable is given: a PIL image, uint8 [C, H, W], or ``image=`` uint8 [H, W, C]."""

CALLED_WITH = {"pil": "PIL image", "tensor": "uint8 tensor [C, H, W]"}
"""What a callable whose kind is not known is called with, in this order, until one succeeds."""


@dataclass(frozen=True)
class CallableViews:
    """Views that a user's callable makes, one image at a time, where a method expects a `ViewPolicy`.

    The loader makes them in its workers, under the names that a dry run of the method found, and puts them into
    `Pixels.views`. Missing views are made on request. Before each call the generators of Python, NumPy and
    PyTorch are seeded by (seed, step, name, image), so that a resumed run sees the same views and so do two devices.
    """

    transform: Callable[..., Any] = field(metadata={"stored": False})
    """the callable; must be picklable where the loader has workers"""
    source: str = ""
    """what it is, for ``config.json``: its import path, or its repr"""
    size: int | None = None
    """pixels along a side of the views that the encoder expects; None: the run's image size"""
    frames: int | None = None
    """of clips, which are not supported: it stays None"""
    takes: Takes | None = field(
        default=None,
        compare=False,
        repr=False,
        metadata={"stored": False},
    )
    """what the callable is given; None: found when it is first called, a PIL image being tried first"""

    def __post_init__(self) -> None:
        if not callable(self.transform):
            raise LikewiseError(
                f"views= takes a policy of likewise.views or a callable on one image; {type(self.transform).__name__} "
                f"was given."
            )
        if not self.source:
            object.__setattr__(self, "source", described(self.transform))
        if (
            self.takes is None
            and type(self.transform).__module__.partition(".")[0] == "albumentations"
        ):
            object.__setattr__(self, "takes", "albumentations")

    def __call__(self, pixels: Pixels, rng: BatchRNG) -> View:
        """Float32 [B, C, S, S] in [0, 1]: those that the loader has made, or else made here of the stored squares.

        Raises:
            LikewiseError: the rows are clips, or the callable gives what is no view of ``size`` pixels.
        """
        # Here, where a dry run comes by too: the loader makes views of what passed it.
        if pixels.images.dim() != 4:
            raise LikewiseError(
                "views= takes a callable for images, but this method learns from clips."
            )
        name = str(rng.key[-1])
        box = unknown_box(pixels.images)
        if isinstance(pixels.views, RequestedViews):
            return View(pixels.views.note(name, self, pixels.images), box)
        made = None if pixels.views is None else pixels.views.get(name)
        if made is None:
            keys = [(*rng.key, int(row)) for row in rng.row_numbers()]
            made = self.make(pixels.unsqueezed(), keys).to(pixels.images.device)
        return View(made, box)

    def make(self, images: Sequence[Tensor], keys: Sequence[tuple[int | str, ...]]) -> Tensor:
        """One view of each image: uint8 [C, H, W], of any size each -> float32 [B, C, S, S] in [0, 1].

        Args:
            images: as their files hold them; the callable gets copies, which it may change in place.
            keys: what each view's randomness is a function of.

        Raises:
            LikewiseError: the callable gives what is no view of ``size`` pixels.
        """
        views = []
        for image, key in zip(images, keys, strict=True):
            if self.takes is None:
                object.__setattr__(self, "takes", self._find_what_it_takes(image.clone(), key))
            with seeded(self.transform, key):
                made = self._call(image.clone(), self.takes)
            views.append(self._checked(made, channels=len(image)))
        return torch.stack(views)

    def _call(self, image: Tensor, takes: Takes | None) -> Any:
        if takes == "albumentations":
            return self.transform(image=image.permute(1, 2, 0).numpy())["image"]
        return self.transform(as_pil(image) if takes == "pil" else image)

    def _find_what_it_takes(self, image: Tensor, key: tuple[int | str, ...]) -> Takes:
        """What the callable can be called with: a PIL image where it takes one, else a tensor.

        Raises:
            LikewiseError: it fails with both.
        """
        failed: list[str] = []
        candidates: list[Takes] = ["tensor"]
        if len(image) in (1, 3):  # else it cannot be a PIL image
            candidates = ["pil", "tensor"]
        for takes in candidates:
            try:
                with seeded(self.transform, key):
                    self._call(image, takes)
            except Exception as error:  # a user's code may raise anything
                failed.append(f"{CALLED_WITH[takes]}: {type(error).__name__}: {error}")
            else:
                return takes
        raise LikewiseError(
            f"views={self.source} cannot be called with an image [{', '.join(map(str, image.shape))}]. Given a "
            f"{'; given a '.join(failed)}."
        )

    def _checked(self, given: Any, channels: int) -> Tensor:
        """What the callable gave as float32 [C, S, S] in [0, 1]."""
        if isinstance(given, Image.Image):
            given = np.array(given)
        if isinstance(given, np.ndarray):
            given = channels_first(given)
        if not isinstance(given, Tensor) or given.dim() != 3:
            shape = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
            raise LikewiseError(
                f"views= must give one image [C, S, S] for each image; {self.source} gave {shape}."
            )
        view = given.as_subclass(Tensor)  # torchvision's tv_tensors become plain ones
        view = view.float() / 255 if view.dtype == torch.uint8 else view.float()
        self._require_shape(view, channels)
        self._require_range(view)
        return view.clamp(0, 1)

    def _require_range(self, view: Tensor) -> None:
        low = float(view.min())
        high = float(view.max())
        if low < -1e-4 or high > 1 + 1e-4:
            raise LikewiseError(
                f"views= must give values from 0 to 1; {self.source} gave {low:.3g} to {high:.3g}. Leave Normalize "
                f"out: the encoder normalises."
            )

    def _require_shape(self, view: Tensor, channels: int) -> None:
        count, height, width = view.shape
        if count != channels or height != width or self.size not in (None, height):
            size = self.size or "S"
            raise LikewiseError(
                f"views= must give images [{channels}, {size}, {size}]; {self.source} gave {tuple(view.shape)}. Let it "
                f"end in a crop or a resize to that size, or set image_size={width}."
            )

    @classmethod
    def restored(cls, content: Mapping[str, Any]) -> CallableViews:
        """The views of a stored run: they know what made them, and refuse to be made again."""
        source = content["source"]

        def gone(image: Any) -> Any:
            raise LikewiseError(
                f"The views of this run were made by {source}, which is not stored with it."
            )

        return cls(gone, source, content["size"], content["frames"])

    def notes(self, channels: int) -> list[str]:
        """Nothing: the callable sees the channels as they are."""
        return []


class RequestedViews(dict[str, Tensor]):
    """Takes the role of `Pixels.views` in a dry run of a method, and records which views it requests."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: dict[str, CallableViews] = {}
        self.policies: dict[str, ViewPolicy] = {}

    def note(self, name: str, views: CallableViews, images: Tensor) -> Tensor:
        """Grey views [B, C, S, S] instead of the requested ones."""
        self.requested[name] = views
        rows, channels = images.shape[:2]
        size = views.size or images.shape[-1]
        return torch.full((rows, channels, size, size), 0.5, device=images.device)

    def note_policy(self, name: str, policy: ViewPolicy) -> None:
        """Record that a policy of ours makes a view."""
        self.policies[name] = policy


def described(transform: Callable[..., Any]) -> str:
    """The import path of a function, or the repr of an object on one line."""
    if hasattr(transform, "__qualname__"):
        return f"{transform.__module__}:{transform.__qualname__}"
    return " ".join(repr(transform).split())


def as_pil(image: Tensor) -> Image.Image:
    """uint8 [C, H, W], C = 1 or 3 -> a PIL image."""
    if len(image) == 1:
        return Image.fromarray(image[0].numpy())
    return Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())


@contextmanager
def seeded(transform: Callable[..., Any], key: tuple[int | str, ...]) -> Iterator[None]:
    """Python's, NumPy's and PyTorch's generators as a function of a key, and afterwards as they were."""
    seed = generator(*key).initial_seed() % 2**32
    python = random.getstate()
    numpy = np.random.get_state()
    pytorch = torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    own_generators = getattr(transform, "set_random_seed", None)  # of albumentations
    if own_generators is not None:
        own_generators(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(pytorch)
