"""Where a run starts from: other weights, wider generators."""
