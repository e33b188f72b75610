"""From a pretrained encoder and a few labels to an encoder for these images: fine-tuning, LoRA, label propagation."""

from likewise.adaptation.adapt import Adapted, adapt
from likewise.adaptation.adaptation import Adaptation
from likewise.adaptation.ensemble import Ensemble, Votes, ensemble_pseudo_labels, ensemble_votes
from likewise.adaptation.label_propagation import propagate_labels
from likewise.adaptation.prototypes import prototype_classifier

__all__ = [
    "Adaptation",
    "Adapted",
    "Ensemble",
    "Votes",
    "adapt",
    "ensemble_pseudo_labels",
    "ensemble_votes",
    "propagate_labels",
    "prototype_classifier",
]
