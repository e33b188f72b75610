"""Queues and teachers."""

import copy

import pytest
import torch
from torch import nn

from likewise.memory import Queue, ema_update, make_ema_copy, momentum_at, momentum_to_one


def test_queue_starts_with_unit_rows():
    assert torch.allclose(Queue(50, 8).rows.norm(dim=1), torch.ones(50))


def test_queue_forgets_the_oldest_first_and_wraps():
    queue = Queue(5, 1)
    for batch in ([1.0, 2.0], [3.0, 4.0], [5.0, 6.0]):
        queue.push(torch.tensor(batch)[:, None])
    assert sorted(queue.rows.flatten().tolist()) == [2, 3, 4, 5, 6]
    queue.push(torch.tensor([[7.0]]))
    assert sorted(queue.rows.flatten().tolist()) == [3, 4, 5, 6, 7]


def test_a_batch_longer_than_the_queue_leaves_its_end():
    queue = Queue(3, 1)
    queue.push(torch.arange(8.0)[:, None])
    assert sorted(queue.rows.flatten().tolist()) == [5, 6, 7]


def test_queue_keeps_no_graph():
    queue = Queue(4, 2)
    queue.push(torch.ones(2, 2, requires_grad=True) * 3)
    assert not queue.rows.requires_grad


def test_columns_stay_beside_their_embedding_and_start_empty():
    queue = Queue(4, 2, guesses=3)
    assert not queue.filled.any()
    assert not queue.guesses.any()
    for number in (1.0, 2.0, 3.0):
        queue.push(torch.full((3, 2), number), guesses=torch.full((3, 3), 10 * number))
        assert queue.filled.tolist() == [True] * 3 + [number > 1]
    assert sorted(queue.rows[:, 0].tolist()) == [2, 3, 3, 3]
    assert torch.equal(queue.guesses, 10 * queue.rows[:, :1].expand(4, 3))


def test_a_push_longer_than_the_queue_does_not_lose_its_place():
    queue = Queue(3, 1)
    queue.push(torch.arange(8.0)[:, None])
    queue.push(torch.tensor([[8.0]]))
    assert sorted(queue.rows.flatten().tolist()) == [6, 7, 8]


def test_a_push_names_every_column():
    queue = Queue(4, 2, guesses=3)
    with pytest.raises(ValueError, match=r"'rows', 'guesses'.*'rows',\)"):
        queue.push(torch.ones(3, 2))


def test_queue_survives_a_checkpoint():
    queue = Queue(5, 2)
    queue.push(torch.ones(3, 2))
    again = Queue(5, 2)
    again.load_state_dict(queue.state_dict())
    for one in (queue, again):
        one.push(torch.full((1, 2), 2.0))
    assert torch.equal(queue.rows, again.rows)
    assert again.filled.tolist() == [True] * 4 + [False]


def test_teacher_follows_parameters_and_keeps_its_own_statistics():
    student = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    teacher = make_ema_copy(student)
    before = copy.deepcopy(teacher.state_dict())
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    student[1].running_mean.fill_(9.0)
    ema_update(teacher, student, momentum=0.9)
    for name, p in teacher.named_parameters():
        torch.testing.assert_close(p, before[name] + 0.1)
    assert teacher[1].running_mean.tolist() == [0, 0, 0]


def test_teacher_takes_no_gradient_and_does_not_share_memory():
    student = nn.Linear(2, 2)
    teacher = make_ema_copy(student)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert teacher.weight.data_ptr() != student.weight.data_ptr()
    assert student.weight.requires_grad


def test_a_teacher_that_is_only_evaluated_takes_the_students_statistics():
    student = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    teacher = make_ema_copy(student)
    student[1].running_mean.fill_(9.0)
    student[1].num_batches_tracked.fill_(7)
    ema_update(teacher, student, momentum=0.9, copy_buffers=True)
    assert teacher[1].running_mean.tolist() == [9.0] * 3
    assert teacher[1].num_batches_tracked == 7


def test_momentum_rises_to_its_value():
    assert [momentum_at(step, 0.9) for step in (0, 8, 10**6)] == [0.1, 0.5, 0.9]


def test_a_momentum_rises_to_one_by_a_cosine():
    assert momentum_to_one(0.0, 0.9) == pytest.approx(0.9)
    assert momentum_to_one(0.5, 0.9) == pytest.approx(0.95)
    assert momentum_to_one(1.0, 0.9) == pytest.approx(1.0)
    assert momentum_to_one(0.25, 0.9) == pytest.approx(1 - 0.1 * (2**0.5 / 2 + 1) / 2)
