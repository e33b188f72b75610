"""From few labels to a calibrated classifier: a head on an encoder, its temperature, and what it has learned from."""

from likewise.classification.classifier import Classifier
from likewise.classification.discriminant import discriminant_head
from likewise.classification.files import load_classifier, load_reference, save_classifier
from likewise.classification.head import FittedHead, fit_head
from likewise.classification.predict import Predictions, predict
from likewise.classification.reference import Reference
from likewise.classification.target_predictor import TargetPredictor, load_predictor
from likewise.classification.temperature import fit_temperature

__all__ = [
    "Classifier",
    "FittedHead",
    "Predictions",
    "Reference",
    "TargetPredictor",
    "discriminant_head",
    "fit_head",
    "fit_temperature",
    "load_classifier",
    "load_predictor",
    "load_reference",
    "predict",
    "save_classifier",
]
