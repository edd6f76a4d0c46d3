"""What was learned, and the simulators that taught it."""
