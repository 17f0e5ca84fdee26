"""A message that holds another error of taskprompt takes its `text`, which names options as the command line does."""

import ast
from collections.abc import Iterator

from packages import FILES, PACKAGE

from taskprompt.core import errors

OURS = {n for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, errors.TaskPromptError)}


def handlers(tree: ast.AST) -> Iterator[tuple[ast.ExceptHandler, set[str]]]:
    """`except A as name` and what it catches."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.name and node.type:
            yield node, {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}


def quoted(handler: ast.ExceptHandler) -> Iterator[int]:
    """Lines with f"{name}" or str(name)."""
    for node in ast.walk(handler):
        value = node.value if isinstance(node, ast.FormattedValue) else None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str" and node.args:
            value = node.args[0]
        if isinstance(value, ast.Name) and value.id == handler.name:
            yield value.lineno


def test_no_message_holds_an_error_in_the_words_of_python():
    found, wrong = 0, []
    for file in FILES:
        for handler, caught in handlers(ast.parse(file.read_text(encoding="utf-8"))):
            if caught & OURS:
                found += 1
                wrong += [
                    f"{file.relative_to(PACKAGE)}:{line}: take .text, or told() of it" for line in quoted(handler)
                ]
    assert not wrong, "\n".join(wrong)
    assert found >= 20
