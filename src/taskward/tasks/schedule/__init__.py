"""When a task is due, and when it recurs."""
