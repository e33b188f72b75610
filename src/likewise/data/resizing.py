"""Images brought to another size."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def resized(planes: Tensor, height: int, width: int) -> Tensor:
    """uint8 [C, H, W] -> [C, height, width], bilinearly with antialiasing; one of that size is given back as it is.

    This is Pillow's filter, to within 1/255 and several times as fast: Pillow would first copy to four bytes a pixel.
    """
    if planes.shape[1:] == (height, width):
        return planes
    return functional.interpolate(planes[None], (height, width), mode="bilinear", antialias=True)[0]
