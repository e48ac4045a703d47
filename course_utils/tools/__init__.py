"""The commands behind `python3 -m course_utils`: run, build, handout, recompute, doctor."""
