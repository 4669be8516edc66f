"""What Taskward is measured against: one package per peer."""
