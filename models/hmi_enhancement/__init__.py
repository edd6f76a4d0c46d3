"""HMI pictures deconvolved and sampled twice as finely."""
