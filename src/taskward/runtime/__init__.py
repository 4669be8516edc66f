"""What the requests of one worker share: time, memory, the event loop, and what the operator is told."""
