"""A station's magnetic disturbance, told from the pictures of its sky (after Sado et al. 2022)."""
