"""Lesson 01, layer hierarchies: what does each stage of a network know?"""

__all__ = ["dissection", "feature_visualization", "figures", "views"]  # modules, each loaded when it is imported
