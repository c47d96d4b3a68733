"""A real video in, features out."""
