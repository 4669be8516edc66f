"""Other engines of recurrence, held beside Taskward."""
