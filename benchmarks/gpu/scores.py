"""Scores of an encoder on the device: neighbours, a linear classifier, few labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu.cifar import CLASSES, Split

ROWS = 2500


@torch.no_grad()
def features(encoder: nn.Module, images: Tensor) -> Tensor:
    """Float32 [N, D] of uint8 images [N, 3, S, S]."""
    training = encoder.training
    encoder.eval()
    found = []
    for part in images.split(ROWS):
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            found.append(encoder(part.float() / 255).float())
    encoder.train(training)
    return torch.cat(found)


@torch.no_grad()
def neighbours(
    bank: Tensor, labels: Tensor, queries: Tensor, k: int = 200, temperature: float = 0.1
) -> Tensor:
    """Predicted class [N]: weighted votes of the k nearest (Wu et al. 2018, https://arxiv.org/abs/1805.01978)."""
    bank, found = F.normalize(bank, dim=1), []
    for part in F.normalize(queries, dim=1).split(ROWS):
        similarity, place = (part @ bank.T).topk(min(k, len(bank)), dim=1)
        votes = F.one_hot(labels[place], CLASSES) * (similarity / temperature).exp()[:, :, None]
        found.append(votes.sum(dim=1).argmax(dim=1))
    return torch.cat(found)


def linear(
    bank: Tensor, labels: Tensor, queries: Tensor, steps: int = 400, decay: float = 1e-5
) -> Tensor:
    """Predicted class [N] of a logistic regression on standardised features."""
    mean, std = bank.mean(dim=0), bank.std(dim=0).clamp(min=1e-6)
    bank, queries = (bank - mean) / std, (queries - mean) / std
    head = nn.Linear(bank.shape[1], CLASSES, device=bank.device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.01, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = F.cross_entropy(head(bank), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return head(queries).argmax(dim=1)


def share(predicted: Tensor, labels: Tensor) -> float:
    """Of those that are right."""
    return round(float((predicted == labels).float().mean()), 4)


def knn_accuracy(encoder: nn.Module, bank: Split, queries: Split, k: int = 200) -> float:
    """By the nearest of all training images."""
    return share(
        neighbours(
            features(encoder, bank.images), bank.labels, features(encoder, queries.images), k
        ),
        queries.labels,
    )
