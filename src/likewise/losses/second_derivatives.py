"""Losses whose backward autograd does not see through have no second derivative, and say so."""

from __future__ import annotations

import torch

from likewise.errors import LikewiseError


class NotTwiceDifferentiable(LikewiseError, RuntimeError):
    """Second derivatives were requested."""


def refuse_second_derivatives() -> None:
    """Called in a backward that autograd does not see through.

    Raises:
        NotTwiceDifferentiable: the backward is itself to be differentiated.
    """
    if torch.is_grad_enabled():  # as it is in a backward only under create_graph
        raise NotTwiceDifferentiable(
            "Second derivatives of a loss were requested (create_graph=True); the fast losses have none. Call the "
            "same loss from likewise.losses.dense, or differentiate with torch.func (grad, hessian): PyTorch can "
            "then do so as often as you like."
        )
