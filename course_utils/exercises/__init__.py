"""Exercises that check themselves, quizzes with a reason for each option, predictions that are quoted later."""

from course_utils.exercises.check import check  # the function; the module of this name is in sys.modules
from course_utils.exercises.quizzes import quiz, recall

__all__ = ["check", "quiz", "recall"]
