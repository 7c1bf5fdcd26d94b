"""Errors that commands report in one line."""


class UserError(Exception):
    """The user's input is at fault; the message is the one line that says how."""
