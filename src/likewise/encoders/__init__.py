"""Example -> features: timm's backbones and small ones of ours, behind one contract."""

from likewise.encoders.build import EncoderSettings, build_encoder, choose_encoder, load_encoder, save_encoder
from likewise.encoders.encoder import Encoder

__all__ = ["Encoder", "EncoderSettings", "build_encoder", "choose_encoder", "load_encoder", "save_encoder"]
