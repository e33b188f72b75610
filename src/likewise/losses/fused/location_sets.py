"""Contrast between sets of locations on a GPU, in three launches forward and one backward: SetSim's.

With s_uv = q_u . k_v / temperature, V(u) the partners of a location u, L_u the log-sum of its scores with the queue and
m_u the queue's mean under their softmax (`against_queue`)::

    T_u        = log( e^{L_u} + sum_{v in V(u)} e^{s_uv} )
    loss_u     = T_u - 1/|V(u)| sum_{v in V(u)} s_uv
    gradient_u = ( e^{L_u - T_u} m_u + sum_{v in V(u)} (e^{s_uv - T_u} - 1/|V(u)|) k_v ) / temperature

each over the number of images and that of the locations of its own image that have a partner. Neither the partners nor
the queue take a gradient, so the forward has all of it; that by the temperature is the sum of
-q_u . gradient_u / temperature. `set_similarity` has the same from PyTorch's operations, for every device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from likewise.gpu_kernels import blocks, kernels
from likewise.losses.differentiated import differentiated
from likewise.losses.fused.against_queue import softmax_over
from likewise.losses.fused.devices import readable
from likewise.losses.fused.products import float32_products
from likewise.losses.fused.tiling import MOST_COLUMNS, parts_of

ROWS, COLUMNS = 16, 16
"""Locations that a program holds, and partners that it meets at a time; NO GPU HAS MEASURED THEM YET."""


def serves(
    locations: Tensor, partners: Tensor, matched: Tensor, queue: Tensor, temperature: float | Tensor
) -> bool:
    """Whether these kernels can make the loss of tensors whose shapes fit each other."""
    fits = locations.shape[2] <= MOST_COLUMNS and matched.device == locations.device
    return fits and readable(locations, partners, queue, temperature=temperature)


def set_similarity(
    locations: Tensor, partners: Tensor, matched: Tensor, queue: Tensor, temperature: float | Tensor
) -> Tensor | None:
    """With the gradients of ``locations`` and ``temperature``."""
    given = locations, partners, matched, queue, temperature
    if not serves(*given):
        return None
    loss, gradient, by_temperature = _with_gradients(*given)
    return differentiated(loss, (locations, gradient), (temperature, by_temperature))


@torch.no_grad()
def _with_gradients(
    locations: Tensor, partners: Tensor, matched: Tensor, queue: Tensor, temperature: float | Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss, the gradient of the locations [B, N, D], and that of the temperature by each of them, [parts, B, N]."""
    locations, partners = locations.contiguous(), partners.contiguous()
    matched = matched.contiguous()
    images, rows, width = locations.shape
    held, parts = parts_of(width)
    of_queue = softmax_over(queue.contiguous(), locations.flatten(0, 1), None, (temperature, 1.0))
    gradient = torch.empty(locations.shape, dtype=torch.float32, device=locations.device)
    loss = gradient.new_empty([images, rows])
    by_temperature = gradient.new_empty([parts, images, rows])
    numbers = images, rows, partners.shape[1], of_queue.log_sums.shape[1]
    with torch.cuda.device_of(locations):
        sets_kernel = kernels("losses.fused.kernels.location_sets").sets_kernel
        sets_kernel[(images, blocks(rows, ROWS), parts)](
            *(locations, partners, matched, temperature, *of_queue),
            *(loss, gradient, by_temperature, *numbers),
            D=width,
            WIDTH=held,
            ROWS=ROWS,
            COLUMNS=COLUMNS,
            LEARNED=isinstance(temperature, Tensor),
            PRECISION=float32_products(),
            num_warps=4 if width <= 128 else 8,
            num_stages=2,
        )
    return loss.sum(), gradient, by_temperature
