"""The view policies of the published methods, each as a function of the view's size."""

from __future__ import annotations

from dataclasses import replace

from likewise.field_types import Range, typed_arguments
from likewise.views.centre_view import CentreView
from likewise.views.view_policy import ViewPolicy


@typed_arguments(strength=Range(0))
def simclr(strength: float = 1.0, size: int | None = None) -> ViewPolicy:
    """SimCLR on ImageNet, strength 1 (Chen et al. 2020, App. A, https://arxiv.org/abs/2002.05709)."""
    return ViewPolicy(
        size,
        jitter=0.8,
        brightness=0.8 * strength,
        contrast=0.8 * strength,
        saturation=0.8 * strength,
        hue=0.2 * strength,
        grey=0.2,
        blur=0.5,
    )


def simclr_small(size: int | None = None) -> ViewPolicy:
    """SimCLR on CIFAR: half the colour strength and no blur (App. B.9 of the same paper)."""
    return replace(simclr(0.5, size), blur=0.0)


def gray_small(size: int | None = None) -> ViewPolicy:
    """For small grey images; not from a paper. No hue, and no blur, which hides the details of 28 pixels."""
    return ViewPolicy(
        size,
        crop_area=(0.3, 1.0),
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
    )


def supcon(size: int | None = None) -> ViewPolicy:
    """SupCon on CIFAR, as the authors' PyTorch code has it: MoCo v2's policy without the blur."""
    return replace(moco_v2(size), blur=0.0)


def moco_v2(size: int | None = None) -> ViewPolicy:
    """MoCo v2 (Chen et al. 2020, Sec. 3, https://arxiv.org/abs/2003.04297)."""
    return ViewPolicy(
        size,
        crop_area=(0.2, 1.0),
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        grey=0.2,
        blur=0.5,
    )


def identity(size: int | None = None) -> ViewPolicy:
    """No augmentation: the whole image, or the central square of one that is not square."""
    return ViewPolicy(
        size,
        crop_area=(1.0, 1.0),
        crop_ratio=(1.0, 1.0),
        flip=0.0,
    )


def weak(size: int | None = None) -> ViewPolicy:
    """Crop and flip alone: ISD's teacher view (Tejankar et al. 2021, https://arxiv.org/abs/2012.09259)."""
    return ViewPolicy(size, crop_area=(0.2, 1.0))


def mild_crop(size: int | None = None) -> ViewPolicy:
    """A crop alone, as CLIP's (Radford et al. 2021, Sec. 2.4, https://arxiv.org/abs/2103.00020).

    There is no flip and no colour jitter, because captions name colours and sides. The crop keeps at least 60% of the
    area, and so is stronger than the paper's, which suits 400 million images.
    """
    return ViewPolicy(size, crop_area=(0.6, 1.0), flip=0.0)


def lips(size: int | None = None) -> ViewPolicy:
    """For clips of mouths: flip, and a random square of at least 88 of 96 pixels, without colour changes.

    The usual crop for lip reading is exactly 88 pixels (Ma et al. 2021, https://arxiv.org/abs/2106.09171, Sec. 3) and
    tests use the centre. Evaluation here uses the whole frame, so training includes that size.
    """
    return ViewPolicy(size, crop_area=((88 / 96) ** 2, 1.0), crop_ratio=(1.0, 1.0))


def fixmatch_weak(size: int | None = None) -> ViewPolicy:
    """Close to FixMatch's weak view (Sohn et al. 2020, Sec. 2.3, https://arxiv.org/abs/2001.07685).

    The authors flip, and translate by up to an eighth of the side with reflection padding. This policy crops a square
    of at least 7/8 of the side instead, without padding.
    """
    return ViewPolicy(size, crop_area=(0.77, 1.0), crop_ratio=(1.0, 1.0))


def rand_augment(
    ops: int = 2,
    chance: float = 1.0,
    strength: tuple[float, float] = (0.0, 1.0),
    size: int | None = None,
) -> ViewPolicy:
    """RandAugment (Cubuk et al. 2020, https://arxiv.org/abs/1909.13719) on FixMatch's weak view, without Cutout."""
    return replace(fixmatch_weak(size), random_ops=ops, op_chance=chance, op_strength=strength)


def fixmatch_strong(size: int | None = None) -> ViewPolicy:
    """FixMatch's strong view: two operations of any strength, then Cutout of half the side.

    Sohn et al. 2020, Sec. 2.3 and App. D, https://arxiv.org/abs/2001.07685. The authors' code skips each operation with
    probability 0.5, as CoMatch does; their paper does not.
    """
    return replace(rand_augment(size=size), cutout=0.5)


def comatch_strong(size: int | None = None) -> ViewPolicy:
    """CoMatch's first strong view of small images: two operations at full strength, each with probability 0.5.

    Then Cutout of half the side, as in the authors' code, https://github.com/salesforce/CoMatch, where solarize at full
    strength has no effect.
    """
    return replace(rand_augment(chance=0.5, strength=(1.0, 1.0), size=size), cutout=0.5)


def single_frame(size: int | None = None) -> ViewPolicy:
    """One frame of a clip with mild crop, flip and MoCo v2's colour jitter, for dense tasks."""
    return replace(
        moco_v2(size),
        crop_area=(0.4, 1.0),
        grey=0.1,
        blur=0.0,
        frames=1,
    )


def byol(size: int | None = None) -> tuple[ViewPolicy, ViewPolicy]:
    """BYOL's two policies: one always blurs; the other blurs with probability 0.1 and solarizes with probability 0.2.

    Grill et al. 2020, App. B, Table 6 (https://arxiv.org/abs/2006.07733).
    """
    first = ViewPolicy(
        size,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        grey=0.2,
        blur=1.0,
    )
    return first, replace(first, blur=0.1, solarize=0.2)


def swav(size: int | None = None) -> ViewPolicy:
    """SwAV's views: SimCLR's, of at least 14% of the image (Caron et al. 2020, App. A.1, https://arxiv.org/abs/2006.09882)."""
    return replace(simclr(size=size), crop_area=(0.14, 1.0))


def swav_small_crop(size: int | None = None) -> ViewPolicy:
    """SwAV's small crops: the same with crops of 5 to 14% of the image, at a smaller size."""
    return replace(simclr(size=size), crop_area=(0.05, 0.14))


def centre(size: int | None = None, share: float = 1.0) -> CentreView:
    """The view for evaluation: the centre of the image."""
    return CentreView(size, share)
