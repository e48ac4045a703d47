"""The doctor: what is missing counts only when the course cannot do without it."""

def test_the_doctor_comes_before_any_set_up(course):
    code, out, _ = finish(launch(course, None, "doctor"))
    assert code == 1
    assert "Packages    MISSING: " in out
    assert "To do: python3 -m course_utils setup" in out
    assert "does not answer" in out  # the network, which is not among what is missing
    assert not (course / ".venv").exists()


