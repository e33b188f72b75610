"""A valid call of each public loss, by name: its arguments on small random rows."""

import torch

from likewise import losses

ROWS, WIDTH, CLASSES = 6, 4, 3


def _rows(count=ROWS, width=WIDTH, seed=0):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def _shares(count=ROWS, width=CLASSES, seed=0):
    return _rows(count, width, seed).softmax(dim=1)


Z, OTHER, QUEUE = _rows(), _rows(seed=1), _rows(8, seed=2)
LABELS = torch.arange(ROWS) % 2
P, BANK_P = _shares(), _shares(8, seed=3)
LOGITS = _rows(width=CLASSES, seed=4)
KERNEL = -torch.cdist(Z, Z)
FRAMES, VALID = _rows(2 * 3).reshape(2, 3, WIDTH), torch.tensor([[1, 1, 1], [1, 1, 0]])
SETS, PARTNERS = _rows(ROWS).reshape(2, 3, WIDTH), _rows(ROWS, seed=1).reshape(2, 3, WIDTH)

CALLS = {
    "attraction_weights": {"anchors": Z, "positives": torch.stack([OTHER, Z], dim=1)},
    "barlow_twins": {"first": Z, "second": OTHER},
    "cacr": {"z": torch.stack([Z, OTHER], dim=1)},
    "clip_loss": {"images": Z, "texts": OTHER, "scale": 10.0},
    "contrastive_attraction": {"anchors": Z, "positives": torch.stack([OTHER, Z], dim=1)},
    "contrastive_repulsion": {"anchors": Z, "others": QUEUE},
    "cosine_regression": {"prediction": Z, "target": OTHER},
    "cross_correlation": {"first": Z, "second": OTHER},
    "distribution_alignment": {"probabilities": P, "past_means": BANK_P, "filled": torch.arange(8) < 4},
    "info_nce": {"queries": Z, "keys": OTHER, "query_id": LABELS, "key_id": LABELS, "temperature": 0.2},
    "kernel_alignment": {"embeddings": Z[None], "log_kernel": KERNEL[None]},
    "kernel_cross_entropy": {"embeddings": Z[None], "log_kernel": KERNEL[None]},
    "kernel_regression": {"embeddings": Z[None], "log_kernel": KERNEL[None]},
    "knowledge_distillation": {"student": LOGITS, "teacher": LOGITS.flip(0), "temperature": 2.0},
    "masked_l1": {"prediction": FRAMES, "target": FRAMES.flip(0), "valid": VALID},
    "mean_entropy": {"probabilities": P},
    "memory_smoothing": {"probabilities": P, "z": Z, "bank": QUEUE, "bank_probabilities": BANK_P, "temperature": 0.2,
                         "alpha": 0.9},
    "mil_nce": {"rows": Z, "bags": torch.stack([OTHER, Z], dim=1), "temperature": 0.2},
    "nt_xent": {"first": Z, "second": OTHER},
    "optimal_transport_targets": {"images": Z, "texts": OTHER},
    "pair_divergence": {"images": Z, "texts": OTHER, "image_targets": torch.eye(ROWS), "text_targets": torch.eye(ROWS),
                        "scale": 10.0},
    "pair_targets": {"images": Z, "texts": OTHER},
    "probability_cross_entropy": {"predictions": P, "targets": P.flip(0)},
    "pseudo_label_graph": {"probabilities": P, "threshold": 0.5},
    "queue_nce": {"queries": Z, "positives": OTHER, "queue": QUEUE, "temperature": 0.2},
    "r2_score": {"prediction": FRAMES, "target": FRAMES.flip(0), "valid": VALID},
    "repulsion_weights": {"anchors": Z, "others": QUEUE},
    "set_similarity": {"locations": SETS, "partners": PARTNERS, "matched": torch.ones(2, 3, 3).bool(), "queue": QUEUE,
                       "temperature": 0.2},
    "sharpen": {"probabilities": P},
    "similarity_distillation": {"student": Z, "teacher": OTHER, "anchors": QUEUE},
    "sinkhorn": {"scores": LOGITS},
    "soft_cross_entropy": {"logits": LOGITS, "targets": P},
    "soft_nce": {"queries": Z, "keys": QUEUE, "targets": _shares(ROWS, 8), "temperature": 0.2},
    "soft_neighbours": {"queries": Z, "support": OTHER, "labels": torch.arange(ROWS) % CLASSES},
    "suncet": {"z": Z, "labels": LABELS},
    "sup_con": {"z": Z, "labels": LABELS},
    "swapped_prediction": {"scores": [LOGITS, LOGITS.flip(0)], "codes": [P, P.flip(0)]},
    "threshold_pseudo_labels": {"probabilities": P, "threshold": 0.5},
    "y_aware_nce": {"first": Z, "second": OTHER, "similarity": torch.eye(ROWS)},
}  # fmt: skip

MODULES = {
    "BarlowTwinsLoss": {"z0": Z, "z1": OTHER},
    "CACRLoss": {"embeddings": torch.stack([Z, OTHER], dim=1)},
    "CLIPLoss": {"image_features": Z, "text_features": OTHER, "logit_scale": 10.0},
    "ISDLoss": {"student": Z, "teacher": OTHER, "queue": QUEUE},
    "InfoNCELoss": {"queries": Z, "positive_keys": OTHER, "negative_keys": QUEUE},
    "NTXentLoss": {"z0": Z, "z1": OTHER},
    "NegativeCosineSimilarity": {"prediction": Z, "target": OTHER},
    "SuNCEtLoss": {"embeddings": Z, "labels": LABELS},
    "SupConLoss": {"embeddings": Z, "labels": LABELS},
    "SwAVLoss": {"high_resolution": [LOGITS, LOGITS.flip(0)]},
}


def call(name, **changed):
    """The loss with its valid arguments, some of them changed."""
    if name in MODULES:
        return getattr(losses, name)()(**{**MODULES[name], **changed})
    return getattr(losses, name)(**{**CALLS[name], **changed})


def tensor_arguments():
    """(loss, argument) of each argument that is a tensor."""
    for name, given in {**CALLS, **MODULES}.items():
        for argument, value in given.items():
            if isinstance(value, torch.Tensor):
                yield name, argument
