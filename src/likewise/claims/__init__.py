"""Published claims, one short file each, tested at small scale by ``likewise reproduce``."""

from __future__ import annotations

from likewise.claims import (
    cacr_weights,
    clip_distill_noise,
    comatch_fixmatch,
    flow_similarity_objects,
    global_local_joint,
    hsakd_over_kd,
    isd_rare,
    lira_few_labels,
    loco_gap,
    modist_motion,
    paws_fixmatch,
    setsim_dense,
    suncet_sooner,
    supcon_corruptions,
    supcon_label_noise,
    supcon_out_or_in,
    supcon_stability,
    ugan_halves,
)
from likewise.claims.claim import Arm, Claim, Replicate, Result, Statement
from likewise.errors import LikewiseError, did_you_mean

CLAIMS: dict[str, Claim] = {
    "cacr-weights": cacr_weights.CLAIM,
    "clip-distill-noise": clip_distill_noise.CLAIM,
    "comatch-fixmatch": comatch_fixmatch.CLAIM,
    "flow-similarity-objects": flow_similarity_objects.CLAIM,
    "global-local-joint": global_local_joint.CLAIM,
    "hsakd-over-kd": hsakd_over_kd.CLAIM,
    "isd-rare": isd_rare.CLAIM,
    "lira-few-labels": lira_few_labels.CLAIM,
    "loco-gap": loco_gap.CLAIM,
    "modist-motion": modist_motion.CLAIM,
    "paws-fixmatch": paws_fixmatch.CLAIM,
    "setsim-dense": setsim_dense.CLAIM,
    "suncet-sooner": suncet_sooner.CLAIM,
    "supcon-corruptions": supcon_corruptions.CLAIM,
    "supcon-label-noise": supcon_label_noise.CLAIM,
    "supcon-out-or-in": supcon_out_or_in.CLAIM,
    "supcon-stability": supcon_stability.CLAIM,
    "ugan-halves": ugan_halves.CLAIM,
}


def find_claim(name: str) -> Claim:
    """A claim by its name; capitals and underscores are accepted."""
    known = name.lower().replace("_", "-")
    if known not in CLAIMS:
        raise LikewiseError(f"There is no claim {name!r}. {did_you_mean(known, CLAIMS)}")
    return CLAIMS[known]


__all__ = ["CLAIMS", "Arm", "Claim", "Replicate", "Result", "Statement", "find_claim"]
