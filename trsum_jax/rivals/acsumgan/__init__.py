"""AC-SUM-GAN (Apostolidis et al., TCSVT 2021)."""
