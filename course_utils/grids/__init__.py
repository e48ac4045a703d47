"""Declared experiments that no single lesson owns: the shared grid, frozen networks at their best, `fit`'s rates."""
