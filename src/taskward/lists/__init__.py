"""Lists: what a user sorts tasks into."""
