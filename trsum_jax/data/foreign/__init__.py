"""Files in the forms that other projects and datasets keep them in."""
