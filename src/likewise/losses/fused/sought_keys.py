"""What each query of `against_keys` is to find, as the kernels read it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from torch import Tensor


class SoughtKeys(NamedTuple):
    """What each query is to find among the keys: given targets, the keys of its id, or those of its bag."""

    targets: Tensor | None = None
    """[N, M]"""
    query_id: Tensor | None = None
    """int64 [N]"""
    key_id: Tensor | None = None
    """int64 [M]"""
    self_index: Tensor | None = None
    """int64 [N], the key that a query is not compared with; -1 for none"""
    form: Literal["soft", "out", "in", "nca", "bags"] = "soft"
    """the loss, as in `against_keys`"""
    sizes: tuple[int, int] = (1, 1)
    """of "bags", how many queries and how many keys of one bag follow each other"""

    def turned(self) -> SoughtKeys:
        """With the keys outside."""
        return self._replace(
            targets=None if self.targets is None else self.targets.T,
            query_id=self.key_id,
            key_id=self.query_id,
            sizes=self.sizes[::-1],
        )

    def tensors(self) -> tuple[Tensor | None, ...]:
        """The first four."""
        return self.targets, self.query_id, self.key_id, self.self_index

    def strides(self) -> tuple[int, ...]:
        """Of the targets; of bags the sizes."""
        return self.sizes if self.targets is None else self.targets.stride()

    def flags(self) -> dict[str, Any]:
        """The kernels' constants."""
        return {"FORM": self.form, "HAS_OWN": self.self_index is not None}
