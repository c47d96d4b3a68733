"""Files of strangers: HDF5 and text, read within bounds."""
