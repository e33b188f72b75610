"""Published methods, one short file each; a line in `METHODS` puts a method under every contract test."""

from __future__ import annotations

from likewise.counts import amount
from likewise.errors import LikewiseError, did_you_mean
from likewise.field_types import COUNT, typed_arguments
from likewise.methods.barlow_twins import BarlowTwins
from likewise.methods.byol import BYOL
from likewise.methods.cacr import CACR
from likewise.methods.clip import CLIP
from likewise.methods.clip_distill import CLIPDistill
from likewise.methods.comatch import CoMatch
from likewise.methods.comatch_ema import CoMatchEMA
from likewise.methods.cross_entropy import CrossEntropy
from likewise.methods.fixmatch import FixMatch
from likewise.methods.flow_similarity import FlowSimilarity
from likewise.methods.global_local import GlobalLocal
from likewise.methods.hsakd import HSAKD
from likewise.methods.hsakd_teacher import HSAKDTeacher
from likewise.methods.isd import ISD
from likewise.methods.kd import KD
from likewise.methods.lira import LiRA
from likewise.methods.loco import LoCo
from likewise.methods.method import Method, Nets, Outputs, Progress, Step
from likewise.methods.moco import MoCoV2
from likewise.methods.modist import MoDist
from likewise.methods.paws import PAWS
from likewise.methods.recipe import Recipe
from likewise.methods.setsim import SetSim
from likewise.methods.simclr import SimCLR
from likewise.methods.simsiam import SimSiam
from likewise.methods.suncet import SuNCEt
from likewise.methods.supcon import SupCon
from likewise.methods.swav import SwAV
from likewise.methods.swav_suncet import SwAVSuNCEt
from likewise.methods.ugan import UGAN
from likewise.methods.view_sizes import with_view_size
from likewise.methods.y_aware import YAware

METHODS: dict[str, type[Method]] = {
    "barlow-twins": BarlowTwins,
    "byol": BYOL,
    "cacr": CACR,
    "clip": CLIP,
    "clip-distill": CLIPDistill,
    "comatch": CoMatch,
    "comatch-ema": CoMatchEMA,
    "cross-entropy": CrossEntropy,
    "fixmatch": FixMatch,
    "flow-similarity": FlowSimilarity,
    "global-local": GlobalLocal,
    "hsakd": HSAKD,
    "hsakd-teacher": HSAKDTeacher,
    "isd": ISD,
    "kd": KD,
    "lira": LiRA,
    "loco": LoCo,
    "moco-v2": MoCoV2,
    "modist": MoDist,
    "paws": PAWS,
    "setsim": SetSim,
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "suncet": SuNCEt,
    "supcon": SupCon,
    "swav": SwAV,
    "swav-suncet": SwAVSuNCEt,
    "ugan": UGAN,
    "y-aware": YAware,
}


@typed_arguments()
def find_method(name: str) -> type[Method]:
    """A method by the name that the command line uses; capitals and underscores are forgiven."""
    known = name.lower().replace("_", "-")
    if known not in METHODS:
        raise LikewiseError(
            f"There is no method {name!r}. {did_you_mean(known, ['auto', *METHODS])}"
        )
    return METHODS[known]


@typed_arguments()
def method_name(method: Method) -> str:
    """The registered name of a method, or the name of its class if it is not registered."""
    for name, known in METHODS.items():
        if type(method) is known:
            return name
    return type(method).__name__


@typed_arguments(labelled=COUNT, total=COUNT, fewest_in_a_class=COUNT, classes=COUNT)
def choose_method(
    labelled: int, total: int, fewest_in_a_class: int, classes: int
) -> tuple[str, str]:
    """The method that ``--method auto`` takes, and why.

    Args:
        labelled: images whose label training may see.
        total: images.
        fewest_in_a_class: labelled images of the rarest class that has any.
        classes: classes that have labelled images.
    """
    if labelled == 0:
        return "simclr", "none of the images is labelled"
    if classes < 2:
        return "simclr", f"all {labelled} labels name one class, which separates nothing"
    if labelled >= 0.9 * total:
        share = "all" if labelled == total else f"{labelled:,} of {total:,}"
        return "supcon", f"{share} images are labelled"
    if fewest_in_a_class < 2:
        return "simclr", "a class has a single labelled image, and SuNCEt needs two of each"
    return (
        "suncet",
        f"{labelled:,} of {amount(total, 'image')} are labelled, at least {fewest_in_a_class} of each class",
    )


__all__ = [
    "BYOL",
    "CACR",
    "CLIP",
    "HSAKD",
    "ISD",
    "KD",
    "METHODS",
    "PAWS",
    "UGAN",
    "BarlowTwins",
    "CLIPDistill",
    "CoMatch",
    "CoMatchEMA",
    "CrossEntropy",
    "FixMatch",
    "FlowSimilarity",
    "GlobalLocal",
    "HSAKDTeacher",
    "LiRA",
    "LoCo",
    "Method",
    "MoCoV2",
    "MoDist",
    "Nets",
    "Outputs",
    "Progress",
    "Recipe",
    "SetSim",
    "SimCLR",
    "SimSiam",
    "Step",
    "SuNCEt",
    "SupCon",
    "SwAV",
    "SwAVSuNCEt",
    "YAware",
    "choose_method",
    "find_method",
    "method_name",
    "with_view_size",
]
