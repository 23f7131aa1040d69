"""The lip expert of eq. 11: network, data, training, gate."""
