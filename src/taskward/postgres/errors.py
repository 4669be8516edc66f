"""What a person is told when the embedded server cannot be used."""


class EmbeddedServerError(Exception):
    """The embedded server cannot be used; the message says why in one sentence, and the way out."""
