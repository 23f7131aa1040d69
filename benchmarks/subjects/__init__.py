"""What is measured, one file per subject; `benchmarks/registry.py` lists them."""
