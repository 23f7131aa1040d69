"""Table I and Table II: redraw clips and measure."""
