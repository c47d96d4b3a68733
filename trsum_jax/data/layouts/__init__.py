"""The layouts in which people have their data: groups of an HDF5 file, JSON, arrays by id."""
