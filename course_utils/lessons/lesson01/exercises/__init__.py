"""Lesson 01's exercises, quizzes and predictions: the core's, and those of its lab."""

from course_utils.lessons.lesson01.exercises import core, lab

EXERCISES = [*core.EXERCISES, *lab.EXERCISES]
QUESTIONS = core.QUESTIONS
