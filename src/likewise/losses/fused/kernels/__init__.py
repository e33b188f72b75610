"""The kernels of `likewise.losses.fused`, each file by the name of the one that launches it.

Only `gpu_kernels.kernels` imports them, at the first launch, since they need Triton.
"""
