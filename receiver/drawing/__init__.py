"""From sound and style to frames: jobs, the render thread, presentation."""
