"""The front end of pipelines: tasks, the futures between them, and the names under which their results are stored."""
