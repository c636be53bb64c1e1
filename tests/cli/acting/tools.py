"""A tool that asks first."""

from codeact import tool


@tool(needs_approval=True)
def send_mail(to: str, body: str = "") -> str:
    """Send a mail."""
    return f"sent to {to}"


def create():
    return [send_mail]
