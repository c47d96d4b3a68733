"""Files in, arrays out: numpy and h5py, no jax."""
