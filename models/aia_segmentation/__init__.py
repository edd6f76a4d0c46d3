"""Where coronal holes and active regions lie on the disk (after SCSS-Net, Mackovjak et al. 2021)."""
