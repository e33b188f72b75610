"""Turned images and the labels that say how they were turned."""

import numpy as np
import torch

from likewise.views.image.rotations import class_logits, four_rotations, joint_labels


def test_the_rotations_of_an_image_lie_side_by_side():
    pixels = torch.rand(3, 2, 5, 5)
    turned = four_rotations(pixels)
    assert turned.shape == (12, 2, 5, 5)
    for b in range(3):
        for j in range(4):
            expected = np.rot90(pixels[b].numpy(), j, axes=(1, 2))
            np.testing.assert_array_equal(turned[4 * b + j].numpy(), expected)


def test_joint_labels_are_class_major_and_unlabelled_rows_stay_so():
    # The authors' convention.
    assert joint_labels(torch.tensor([3, 0])).tolist() == [12, 13, 14, 15, 0, 1, 2, 3]
    assert joint_labels(torch.tensor([-1, 1])).tolist() == [-1, -1, -1, -1, 4, 5, 6, 7]


def test_a_classs_logit_is_the_sum_over_its_rotations():
    joint = torch.randn(2, 12)
    expected = [[sum(joint[n, 4 * c + j] for j in range(4)) for c in range(3)] for n in range(2)]
    torch.testing.assert_close(class_logits(joint), torch.tensor(expected))
