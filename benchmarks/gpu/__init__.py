"""The sections of ``benchmarks/on_gpu.py``, a file each."""
