"""A folder a lesson: its exercises, questions, studies and figures. Nothing outside knows them but the registry."""
