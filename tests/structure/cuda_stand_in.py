"""What only CUDA has, on a CPU: events, streams, graphs, memory, a profile. So scripts for a GPU run to their end.

Work of a captured graph is done once, by the capture; a replay does nothing.
"""

import contextlib
import time
from types import SimpleNamespace

import torch
from torch.profiler import profile

from likewise.losses import waiting
from likewise.training import captured_step
from likewise.views import view_policy
from training.test_captured_step import Again, one_hot, views_of_a_gpu


class Event:
    def __init__(self, enable_timing=False):
        self.at = 0.0

    def record(self, stream=None):
        self.at = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return max(1e3 * (end.at - self.at), 1e-3)


class Stream:
    def __init__(self, device=None):
        pass

    def wait_stream(self, stream):
        pass


class Graph:
    def replay(self):
        pass


class Profile(profile):
    """The operations of a CPU, as if they were kernels of a GPU."""

    def __init__(self, **options):
        super().__init__(activities=[torch.profiler.ProfilerActivity.CPU])

    def events(self):
        return [
            SimpleNamespace(
                device_type="DeviceType.CUDA", name=each.name, device_time=each.cpu_time
            )
            for each in super().events()
        ]


def install(patch):
    """Put them in place by ``patch(object, name, value)``."""
    replaced = {
        "Event": Event,
        "Stream": Stream,
        "CUDAGraph": Graph,
        "stream": contextlib.nullcontext,
        "graph": lambda graph, **options: contextlib.nullcontext(),
        "current_stream": lambda device=None: Stream(),
        "synchronize": lambda device=None: None,
        "max_memory_allocated": lambda device=None: 2**30,
        "reset_peak_memory_stats": lambda device=None: None,
        "mem_get_info": lambda device=None: (2**30, 2**31),
        "get_device_properties": lambda device=None: SimpleNamespace(
            name="stand-in", multi_processor_count=1, total_memory=2**31
        ),
    }
    for name, value in replaced.items():
        patch(torch.cuda, name, value)
    patch(captured_step, "has_graphs", lambda device: True)
    patch(captured_step, "captured", Again)
    patch(view_policy, "make_view", views_of_a_gpu)
    patch(waiting, "_host_holds", lambda tensor: False)
    patch(torch.nn.functional, "one_hot", one_hot)
