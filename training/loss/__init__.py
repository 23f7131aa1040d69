"""The terms of equation 12 and the feature networks they compare in."""
