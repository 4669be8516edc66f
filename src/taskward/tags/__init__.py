"""Tags: the labels that a user's tasks have, as things of their own."""
