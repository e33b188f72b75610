"""Example -> features: timm's backbones, small ones of ours and any module of yours, behind one contract."""

from likewise.encoders.build import build_encoder, encoder_from_module
from likewise.encoders.checkpoints import KeyMatch
from likewise.encoders.choose import choose_encoder
from likewise.encoders.encoder import Encoder
from likewise.encoders.encoder_settings import EncoderSettings
from likewise.encoders.from_module import ModuleEncoder
from likewise.encoders.lite0 import pretrained_at_hand
from likewise.encoders.stored_encoder import load_encoder, save_encoder, with_module

__all__ = [
    "Encoder",
    "EncoderSettings",
    "KeyMatch",
    "ModuleEncoder",
    "build_encoder",
    "choose_encoder",
    "encoder_from_module",
    "load_encoder",
    "pretrained_at_hand",
    "save_encoder",
    "with_module",
]
