"""The landmark network and the face finder: labels, data, training."""
