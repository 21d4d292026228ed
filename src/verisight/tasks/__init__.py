"""The methods, a folder a task, a file a paper."""
