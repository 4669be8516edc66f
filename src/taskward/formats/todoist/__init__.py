"""The CSV files that Todoist exports."""
