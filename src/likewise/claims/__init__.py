"""Published claims, one short file each, checked at small scale by ``likewise reproduce``."""

from __future__ import annotations

from likewise.claims import comatch_fixmatch, paws_fixmatch, supcon_out_or_in
from likewise.claims.claim import Arm, Claim, Replicate, Result, Statement
from likewise.errors import LikewiseError, did_you_mean

CLAIMS: dict[str, Claim] = {
    "comatch-fixmatch": comatch_fixmatch.CLAIM,
    "paws-fixmatch": paws_fixmatch.CLAIM,
    "supcon-out-or-in": supcon_out_or_in.CLAIM,
}


def find_claim(name: str) -> Claim:
    """A claim by its name; capitals and underscores are forgiven."""
    known = name.lower().replace("_", "-")
    if known not in CLAIMS:
        raise LikewiseError(f"There is no claim {name!r}. {did_you_mean(known, CLAIMS)}")
    return CLAIMS[known]


__all__ = ["CLAIMS", "Arm", "Claim", "Replicate", "Result", "Statement", "find_claim"]
