"""Lesson 02, feature extraction: freeze the backbone: how, and when does it pay?"""

__all__ = ["epoch_selection", "figures", "rotated_letters"]  # modules, each loaded when it is imported
