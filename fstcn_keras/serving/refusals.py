"""The reasons for which a request is refused, each with its status of HTTP."""


class BadRequest(Exception):
    """Says what is wrong with a request that cannot be answered: HTTP 400."""


class TooLarge(BadRequest):
    """Says which limit of size a request exceeds: HTTP 413."""


class NoMessage(BadRequest):
    """Says that a call brought no message, or one that gRPC itself has refused as too large."""


class UnknownEncoding(BadRequest):
    """Says that a body is compressed in another way than those that are known: HTTP 415."""


class UnknownModel(BadRequest):
    """Says that the model, or the version of it, that is asked for is not here: HTTP 404."""


class Overloaded(Exception):
    """Says that the server cannot answer in time now, but may later: HTTP 503.

    Args:
        text: what to say.
        reason: a word for the metrics.
    """

    def __init__(self, text: str, *, reason: str = "busy") -> None:
        super().__init__(text)
        self.reason = reason
