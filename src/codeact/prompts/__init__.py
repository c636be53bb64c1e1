"""Our prompts, as text files beside this one; environments fill them in with `render`.

Text stands in files so that it can be read and compared as text. Tests in `tests/golden` hold what comes out.
"""

from importlib import resources

__all__ = ["render"]


def render(name: str, **values: object) -> str:
    """The prompt `name`, each `{placeholder}` filled in; braces in the values stay as they are.

    Raises:
        KeyError: A placeholder has no value.
    """
    text = resources.files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return text.format_map(values).strip()
