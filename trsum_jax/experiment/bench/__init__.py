"""The bench for policy gradients: estimators by name, and functions from outside by import path, tried before."""
