"""How HTTP is spoken: the route class, answers and preconditions, problems, middleware, docs page, health.

Nothing here knows what the API is about.
"""
