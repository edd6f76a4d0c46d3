"""Instrument simulators: the demonstration's telescope and the training data's source."""
