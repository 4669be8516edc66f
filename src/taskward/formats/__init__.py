"""Files of other services, read into the records that `transfer` imports."""
