"""What computes a frame: torch on CPU and CUDA, OpenVINO."""
