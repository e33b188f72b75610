"""The losses as ``nn.Module``, for loops that hold a criterion: ``criterion = NTXentLoss(); loss = criterion(z0, z1)``.

Each module calls one function of this package and adds two things. It holds the settings. It gathers the rows of all
ranks where ``torch.distributed`` is initialised; ``gather_distributed=False`` keeps to the rows of this rank. After
data-parallel training has averaged the gradients, N ranks have exactly the gradient of one process with the whole
batch. Each rank computes the similarities of its N-th of the rows. On GPUs every rank must hold the same number of
rows; on CPUs, where nothing waits for the answer, they may differ, as in a last batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from torch import Tensor, nn

from likewise.collectives import gather, gather_uneven, sharded_rows
from likewise.losses.assignment import sinkhorn, swapped_prediction
from likewise.losses.attraction_repulsion import cacr
from likewise.losses.contrastive import nt_xent, queue_nce, suncet, sup_con
from likewise.losses.cross_correlation import barlow_twins
from likewise.losses.distillation import similarity_distillation
from likewise.losses.float32 import unit
from likewise.losses.input_checks import check_kind, check_temperature, shapes
from likewise.losses.lost_gradients import warn_of_lost_gradients
from likewise.losses.paired import clip_loss
from likewise.losses.regression import negative_cosine
from likewise.losses.waiting import may_wait


class _Criterion(nn.Module):
    """A loss with settings, over the rows of all ranks or of this one."""

    def __init__(self, gather_distributed: bool) -> None:
        super().__init__()
        self.gather_distributed = gather_distributed

    def _all_rows(self, rows: Tensor) -> Tensor:
        """[B, ...] -> those of all ranks where they are gathered, else [B, ...]."""
        if not self.gather_distributed:
            return rows
        return gather_uneven(rows) if may_wait(rows) else gather(rows)

    def _sharded(self) -> AbstractContextManager[None]:
        """While the context is open, this rank computes its share of the rows of all ranks."""
        return sharded_rows() if self.gather_distributed else nullcontext()


class _TemperatureCriterion(_Criterion):
    """A loss whose similarities are divided by a temperature."""

    def __init__(self, temperature: float, gather_distributed: bool) -> None:
        super().__init__(gather_distributed)
        check_temperature(temperature)
        self.temperature = temperature

    def extra_repr(self) -> str:
        """The temperature, for ``print``."""
        return f"temperature={self.temperature}"


class NTXentLoss(_TemperatureCriterion):
    """SimCLR's loss over two views (Chen et al. 2020, Algorithm 1, https://arxiv.org/abs/2002.05709).

    >>> NTXentLoss(temperature=0.5)(torch.randn(8, 128), torch.randn(8, 128)).shape
    torch.Size([])

    Args:
        temperature: divides the cosines; above 0.
        gather_distributed: whether images of other ranks are negatives too.

    Raises:
        LossInputError: the views differ in shape, there is a single image, or the temperature is not above 0.
    """

    def __init__(self, temperature: float = 0.5, gather_distributed: bool = True) -> None:
        super().__init__(temperature, gather_distributed)

    @shapes(z0="B D", z1="B D")
    def forward(self, z0: Tensor, z1: Tensor) -> Tensor:
        """Projections [B, D] of both views in one order, normalised here -> a scalar."""
        with self._sharded():
            return nt_xent(self._all_rows(z0), self._all_rows(z1), self.temperature)


class SupConLoss(_TemperatureCriterion):
    """Supervised contrastive loss (Khosla et al. 2020, Eqs. 2 and 3, https://arxiv.org/abs/2004.11362).

    Args:
        temperature: divides the cosines; above 0.
        kind: "out" (Eq. 2, recommended by the paper) or "in" (Eq. 3).
        gather_distributed: whether rows of other ranks are positives and negatives too.

    Raises:
        LossInputError: shapes do not fit, or no row has a positive.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        kind: Literal["out", "in"] = "out",
        gather_distributed: bool = True,
    ) -> None:
        super().__init__(temperature, gather_distributed)
        check_kind(kind)
        self.kind: Literal["out", "in"] = kind

    def extra_repr(self) -> str:
        """The settings, for ``print``."""
        return f"temperature={self.temperature}, kind={self.kind!r}"

    @shapes(embeddings="B D|B V D", labels="B int")
    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """[N, D] and int64 labels [N], or [B, V, D] for V views and labels [B]; -1 is unlabelled -> a scalar.

        Views of one unlabelled image are positives of each other in [B, V, D]; in [N, D] such a row has no positive.
        """
        with self._sharded():
            return sup_con(
                self._all_rows(embeddings), self._all_rows(labels), self.temperature, self.kind
            )


class SuNCEtLoss(_TemperatureCriterion):
    """SuNCEt's supervised term on a class-balanced support batch (Assran et al. 2020, https://arxiv.org/abs/2006.10803).

    The whole loss of SuNCEt is ``NTXentLoss()(z0, z1) + SuNCEtLoss()(support, support_labels)``.

    Args:
        temperature: divides the cosines; above 0 (paper: 0.1).
        gather_distributed: whether support rows of other ranks count too.

    Raises:
        LossInputError: shapes do not fit, no class has two rows, or there is one class only.
    """

    def __init__(self, temperature: float = 0.1, gather_distributed: bool = True) -> None:
        super().__init__(temperature, gather_distributed)

    @shapes(embeddings="B D", labels="B int")
    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Projections [S, D] of labelled rows, two or more of each class, and int64 labels [S] -> a scalar."""
        with self._sharded():
            return suncet(self._all_rows(embeddings), self._all_rows(labels), self.temperature)


class InfoNCELoss(_TemperatureCriterion):
    """MoCo's loss: one positive key, negatives from a queue (He et al. 2020, Eq. 1, https://arxiv.org/abs/1911.05722).

    Each rank takes the mean over its own queries, which data parallelism averages, so nothing has to be gathered. The
    queue must be the same on every rank: push the keys of all ranks into it.

    Args:
        temperature: divides the cosines; above 0 (MoCo v1: 0.07, v2: 0.2).
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__(temperature, gather_distributed=False)

    @shapes(queries="B D", positive_keys="B D", negative_keys="M D")
    def forward(self, queries: Tensor, positive_keys: Tensor, negative_keys: Tensor) -> Tensor:
        """[B, D], keys [B, D] and queue [K, D] without gradient, all normalised here -> a scalar."""
        warn_of_lost_gradients(self, positive_keys=positive_keys, negative_keys=negative_keys)
        return queue_nce(unit(queries), unit(positive_keys), unit(negative_keys), self.temperature)


class ISDLoss(nn.Module):
    """Iterative similarity distillation (Tejankar et al. 2021, Eq. 3, https://arxiv.org/abs/2012.09259).

    As with `InfoNCELoss` nothing has to be gathered: each rank takes the mean over its own rows.

    Args:
        student_temperature: divides the student's cosines (paper: 0.02).
        teacher_temperature: divides the teacher's cosines (paper: 0.02).
    """

    def __init__(
        self, student_temperature: float = 0.02, teacher_temperature: float = 0.02
    ) -> None:
        super().__init__()
        check_temperature(student_temperature)
        check_temperature(teacher_temperature)
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature

    @shapes(student="B D", teacher="B D", queue="M D")
    def forward(self, student: Tensor, teacher: Tensor, queue: Tensor) -> Tensor:
        """[B, D], [B, D] without gradient, and the anchors [K, D]; all normalised here -> a scalar."""
        warn_of_lost_gradients(self, teacher=teacher, queue=queue)
        return similarity_distillation(
            unit(student),
            unit(teacher),
            unit(queue),
            self.student_temperature,
            self.teacher_temperature,
        )


class NegativeCosineSimilarity(nn.Module):
    """SimSiam's loss in one direction: the mean of -cos (Chen & He 2021, Eq. 1, https://arxiv.org/abs/2011.10566).

    The target takes no gradient; lightly's module of this name leaves that to the caller. Use it both ways:
    ``(criterion(p0, z1) + criterion(p1, z0)) / 2``. BYOL's loss is 2 + 2 times this one.
    """

    @shapes(prediction="B D", target="B D")
    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """[B, D] and [B, D], normalised here -> a scalar from -1 (equal directions) to 1."""
        return negative_cosine(prediction, target)


class BarlowTwinsLoss(_Criterion):
    """Barlow Twins: the cross-correlation of two views is the identity (Zbontar et al. 2021, Eq. 1).

    https://arxiv.org/abs/2103.03230

    Args:
        lambda_param: weight of the off-diagonal correlations (paper: 0.0051).
        gather_distributed: whether the correlation is taken over the rows of all ranks, as in the authors' code.
    """

    def __init__(self, lambda_param: float = 0.0051, gather_distributed: bool = True) -> None:
        super().__init__(gather_distributed)
        self.lambda_param = lambda_param

    @shapes(z0="B D", z1="B D")
    def forward(self, z0: Tensor, z1: Tensor) -> Tensor:
        """Embeddings [B, D] of both views, not normalised -> a scalar, the sum over coordinates."""
        with self._sharded():
            return barlow_twins(self._all_rows(z0), self._all_rows(z1), self.lambda_param)


class SwAVLoss(_TemperatureCriterion):
    """SwAV's swapped prediction (Caron et al. 2020, Eqs. 1 and 2, https://arxiv.org/abs/2006.09882).

    Args:
        temperature: divides the cosines of the predicting views (paper: 0.1).
        sinkhorn_epsilon: sharpness of the assignments (paper: 0.05).
        sinkhorn_iterations: rounds of normalisation (paper: 3).
        gather_distributed: whether assignments are balanced over the rows of all ranks.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        sinkhorn_epsilon: float = 0.05,
        sinkhorn_iterations: int = 3,
        gather_distributed: bool = True,
    ) -> None:
        super().__init__(temperature, gather_distributed)
        check_temperature(sinkhorn_epsilon)
        self.sinkhorn_epsilon = sinkhorn_epsilon
        self.sinkhorn_iterations = sinkhorn_iterations

    def forward(
        self, high_resolution: Sequence[Tensor], low_resolution: Sequence[Tensor] = ()
    ) -> Tensor:
        """Cosines [B, K] with the prototypes, one tensor for each view; only the first kind gives assignments."""
        scores = [self._all_rows(view) for view in (*high_resolution, *low_resolution)]
        codes = [
            sinkhorn(view.detach(), self.sinkhorn_epsilon, self.sinkhorn_iterations)
            for view in scores[: len(high_resolution)]
        ]
        return swapped_prediction(scores, codes, self.temperature)


class CACRLoss(_Criterion):
    """Contrastive attraction and contrastive repulsion (Zheng et al. 2021, https://arxiv.org/abs/2105.03746).

    Args:
        attraction_sharpness: how much more the farthest positives attract.
        repulsion_sharpness: how much more the nearest negatives repel.
        gather_distributed: whether images of other ranks repel too.
    """

    def __init__(
        self,
        attraction_sharpness: float = 1.0,
        repulsion_sharpness: float = 2.0,
        gather_distributed: bool = True,
    ) -> None:
        super().__init__(gather_distributed)
        self.attraction_sharpness = attraction_sharpness
        self.repulsion_sharpness = repulsion_sharpness

    @shapes(embeddings="B V D")
    def forward(self, embeddings: Tensor) -> Tensor:
        """[B, V, D] for V views of B images, normalised here -> a scalar."""
        with self._sharded():
            return cacr(
                self._all_rows(embeddings), self.attraction_sharpness, self.repulsion_sharpness
            )


class CLIPLoss(_Criterion):
    """CLIP's symmetric cross-entropy (Radford et al. 2021, Figure 3, https://arxiv.org/abs/2103.00020).

    Args:
        gather_distributed: whether pairs of other ranks are negatives too.
    """

    def __init__(self, gather_distributed: bool = True) -> None:
        super().__init__(gather_distributed)

    @shapes(image_features="B D", text_features="B D")
    def forward(
        self, image_features: Tensor, text_features: Tensor, logit_scale: float | Tensor
    ) -> Tensor:
        """[N, D] and [N, D] in one order, normalised here; the scale multiplies the cosines -> a scalar."""
        images = unit(self._all_rows(image_features))  # [N of all ranks, D]
        texts = unit(self._all_rows(text_features))  # [N of all ranks, D]
        with self._sharded():
            return clip_loss(images, texts, logit_scale)


__all__ = [
    "BarlowTwinsLoss",
    "CACRLoss",
    "CLIPLoss",
    "ISDLoss",
    "InfoNCELoss",
    "NTXentLoss",
    "NegativeCosineSimilarity",
    "SuNCEtLoss",
    "SupConLoss",
    "SwAVLoss",
]
