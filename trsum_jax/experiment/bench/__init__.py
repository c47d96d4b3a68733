"""The bench for policy gradients: estimators by name, functions from outside by import path."""
