"""A small evaluator of Go's text/template: the part of the language that our Modelfile uses.

Semantics follow https://pkg.go.dev/text/template: text outside actions is printed as it is, `{{-`
and `-}}` trim, a variable declared in a block ends with it, `range` sets the dot, `and` and `or`
return their deciding argument.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

_ACTION = re.compile(
    r'\{\{(?P<left>- )?\s*(?P<body>(?:"(?:\\.|[^"\\])*"|[^"])*?)\s*(?P<right> -)?\}\}'
)
_WORD = re.compile(r'"(?:\\.|[^"\\])*"|\(|\)|[^\s()]+')


@dataclass
class Node:
    kind: str
    body: str = ""
    children: list["Node"] = field(default_factory=list)
    otherwise: list["Node"] = field(default_factory=list)


def render(template: str, messages: Sequence[dict[str, str]]) -> str:
    """Return what Ollama would print for these messages."""
    data = {"Messages": [{"Role": m["role"], "Content": m["content"]} for m in messages]}
    return _print(_parse(template), data, {"$": data})


def _parse(template: str) -> list[Node]:
    root: list[Node] = []
    stack: list[tuple[Node | None, list[Node]]] = [(None, root)]
    position = 0
    for action in _ACTION.finditer(template):
        assert not action["left"]
        assert not action["right"], "trimming is not evaluated here, and not used"
        text = template[position : action.start()]
        position = action.end()
        if text:
            stack[-1][1].append(Node("text", text))
        _place(action["body"], stack)
    assert len(stack) == 1, "an action is not closed"
    if position < len(template):
        root.append(Node("text", template[position:]))
    return root


def _place(body: str, stack: list[tuple[Node | None, list[Node]]]) -> None:
    if body == "end":
        stack.pop()
        return
    if body.startswith("else if "):
        owner = stack[-1][0]
        assert owner is not None
        branch = Node("if", body.removeprefix("else if "))
        owner.otherwise.append(branch)
        # The `end` of the whole chain closes this branch, so it takes the owner's place.
        stack[-1] = (branch, branch.children)
        return
    keyword, _, rest = body.partition(" ")
    if keyword in {"if", "range"}:
        node = Node(keyword, rest)
        stack[-1][1].append(node)
        stack.append((node, node.children))
    else:
        stack[-1][1].append(Node("action", body))


def _print(nodes: list[Node], dot: Any, outer: dict[str, Any]) -> str:
    variables = dict(outer)
    return "".join(_print_node(node, dot, variables) for node in nodes)


def _print_node(node: Node, dot: Any, variables: dict[str, Any]) -> str:
    if node.kind == "text":
        return node.body
    if node.kind == "if":
        chosen = node.children if _value(node.body, dot, variables) else node.otherwise
        return _print(chosen, dot, variables)
    if node.kind == "range":
        names, expression = node.body.split(" := ")
        index, item = names.split(", ")
        return "".join(
            _print(node.children, value, {**variables, index: number, item: value})
            for number, value in enumerate(_value(expression, dot, variables))
        )
    name, declares, expression = node.body.partition(" := ")
    if declares and name.startswith("$"):
        variables[name] = _value(expression, dot, variables)
        return ""
    return str(_value(node.body, dot, variables))


def _value(expression: str, dot: Any, variables: dict[str, Any]) -> Any:
    words = _WORD.findall(expression)
    value, rest = _pipeline(words, dot, variables)
    assert not rest, f"left over: {rest}"
    return value


def _pipeline(words: list[str], dot: Any, variables: dict[str, Any]) -> tuple[Any, list[str]]:
    functions: dict[str, Callable[..., Any]] = {
        "eq": lambda a, b: a == b,
        "ne": lambda a, b: a != b,
        "not": lambda a: not a,
        "and": lambda *values: next((v for v in values if not v), values[-1]),
        "or": lambda *values: next((v for v in values if v), values[-1]),
        "len": len,
        "slice": lambda values, start: values[start:],
        "index": lambda values, position: values[position],
    }
    if words[0] not in functions:
        return _operand(words, dot, variables)
    function, rest, arguments = functions[words[0]], words[1:], []
    while rest and rest[0] != ")":
        argument, rest = _operand(rest, dot, variables)
        arguments.append(argument)
    return function(*arguments), rest


def _operand(words: list[str], dot: Any, variables: dict[str, Any]) -> tuple[Any, list[str]]:
    word, rest = words[0], words[1:]
    if word == "(":
        value, rest = _pipeline(rest, dot, variables)
        assert rest[0] == ")"
        return value, rest[1:]
    if word.startswith('"'):
        return json.loads(word), rest
    if word.isdigit():
        return int(word), rest
    name, *path = word.split(".")
    value = variables[name] if name.startswith("$") else dot
    for step in path:
        value = value[step] if step else value
    return value, rest
