"""One protocol a file: kNN, probes, retrieval, segmentation, calibration."""
