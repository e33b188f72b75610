"""The kernels of `likewise.losses.log_sums`; imported at the first launch, since they need Triton."""
