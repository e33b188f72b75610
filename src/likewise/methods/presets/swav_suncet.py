"""SwAV+SuNCEt's presets: SwAV's runs with SuNCEt's support, as far as its authors say."""

from __future__ import annotations

from dataclasses import replace

from likewise.methods.presets.swav import PRESETS as SWAV

OURS = "ours: SwAV's preset with the term on for half of the run; the authors published no settings of this form"

PRESETS = {
    name: replace(SWAV[name], source=OURS, settings={**SWAV[name].settings, "supervised_until": 0.5})
    for name in ("small", "middle")
} | {
    "imagenet": replace(
        SWAV["imagenet"],
        images="ImageNet, 224 px, a tenth of the labels, ResNet-50",
        source="ours: swav_400ep_pretrain.sh, https://github.com/facebookresearch/swav/tree/main/scripts, beside the "
        "support of SuNCEt's preset; the authors published no settings of this form",
        epochs=400,
        settings={
            **SWAV["imagenet"].settings,
            "classes_per_batch": 1000,
            "images_per_class": 2,
            "frozen_until": 1 / 400,
            "supervised_until": 0.5,
        },
    ),
}
