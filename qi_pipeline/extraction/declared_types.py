"""Which type an expression has, as far as declarations say so.

Flows in: expressions of parsed files. Flows out: a `Type`, or None where only a type checker could
tell: nothing is guessed. Followed are annotations, constructors, declared return types (generic
ones too), fields, callback parameters and relative imports. What is asked about a type belongs to
`members`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from tree_sitter import Node

from qi_pipeline.extraction.classes import ClassTable, Member, extended
from qi_pipeline.extraction.exports import Declaration, LibraryExports, Namespace, Symbol
from qi_pipeline.extraction.names import FileNames, destructured, unwrapped
from qi_pipeline.extraction.scopes import Declared
from qi_pipeline.extraction.syntax import ancestors, text_of


@dataclass(frozen=True)
class Named:
    """A type with a name, or one of the language's own."""

    name: str
    declaration: Declaration | None = None
    """None for what the snapshot does not declare: globals and npm packages."""
    arguments: "tuple[Type | None, ...]" = ()


@dataclass(frozen=True)
class Parameter:
    """A type parameter that is still open."""

    name: str
    byte: int


@dataclass(frozen=True)
class Callback:
    """A function type."""

    parameters: "tuple[Type | None, ...]"
    returns: "Type | None"


Type = Named | Parameter | Callback

OTHER = Named("")
"""A type that is certainly none of the snapshot's, nor is any field of it."""
_OBJECT = Named("{}")
"""An object literal: its own members are none of the snapshot's, its fields may be."""

_LITERALS = frozenset(
    {
        "string",
        "template_string",
        "number",
        "regex",
        "array",
        "true",
        "false",
        "null",
        "undefined",
        "arrow_function",
        "function_expression",
        "generator_function",
        "unary_expression",
        "update_expression",
    }
)
_NARROWED = frozenset({"unknown", "object", "undefined", "null"})
"""Types of which a use says more than the declaration."""
_CONTAINERS = frozenset({"Promise", "Array", "ReadonlyArray", "Map", "Set", "WeakMap", "WeakSet"})
_PLAIN_TYPES = frozenset(
    {"predefined_type", "literal_type", "array_type", "tuple_type", "readonly_type"}
)
_FUNCTION_VALUES = frozenset({"arrow_function", "function_expression", "generator_function"})
_FUNCTIONS = frozenset({"function_declaration", "generator_function_declaration"})
_SIGNATURES = frozenset({"method_definition", "method_signature", "abstract_method_signature"})
_CLASSES = frozenset({"class_declaration", "abstract_class_declaration", "class"})
_MEMBERS_OF_THIS = frozenset({"method_definition", "public_field_definition"})
_DEEPEST = 40
"""Expressions whose type needs that of others further than this stay unknown."""
_DEEPEST_TYPE = 10
"""Types that nest or lead to each other further than this stay unknown."""


@dataclass(frozen=True)
class _Function:
    """Something that can be called, with the file its annotations are written in."""

    node: Node
    names: FileNames

    @property
    def parameters(self) -> list[Node]:
        formal = self.node.child_by_field_name("parameters")
        return [
            child
            for child in (formal.named_children if formal is not None else [])
            if child.type in ("required_parameter", "optional_parameter")
        ]

    @property
    def returned(self) -> Node | None:
        found = self.node.child_by_field_name("return_type")
        if found is not None and found.type == "type_annotation":
            return found.named_children[0]
        return found


class DeclaredTypes:
    """Reads types from the declarations of one snapshot."""

    def __init__(self, library: LibraryExports, classes: ClassTable) -> None:
        """Use the declarations of `library`."""
        self._library = library
        self._classes = classes
        self._files: dict[str, FileNames] = {}
        self._declared: dict[tuple[FileNames, int], Type | None] = {}
        self._known: dict[tuple[FileNames, int, int], Type | None] = {}
        """File and extent of an expression to its type."""
        self._depth = 0
        self._nesting = 0

    def names_of(self, path: str) -> FileNames:
        """Return what the names of a file of the snapshot mean."""
        if path not in self._files:
            module = self._library.modules[path]
            self._files[path] = FileNames.of_module(module, path, self._library)
        return self._files[path]

    def of(self, expression: Node, names: FileNames) -> Type | None:
        """Return the type of an expression in the file of `names`."""
        key = names, expression.start_byte, expression.end_byte
        if key in self._known:
            return self._known[key]
        if self._depth >= _DEEPEST:
            return None
        # An expression that leads back to itself is unknown.
        self._known[key] = None
        self._depth += 1
        try:
            found = self._known[key] = self._of(expression, names)
        finally:
            self._depth -= 1
        return found

    def _of(self, expression: Node, names: FileNames) -> Type | None:
        node = unwrapped(expression)
        if node.type in _LITERALS:
            return OTHER
        if node.type == "object":
            return _OBJECT
        reader = self._expressions.get(node.type)
        return None if reader is None else reader(self, node, names)

    def _of_await(self, node: Node, names: FileNames) -> Type | None:
        return _awaited(self.of(node.named_children[0], names))

    def _of_cast(self, node: Node, names: FileNames) -> Type | None:
        if len(node.named_children) == 1:
            # `as const`
            return self.of(node.named_children[0], names)
        return self.read(node.named_children[1], names)

    def _of_first(self, node: Node, names: FileNames) -> Type | None:
        return self.of(node.named_children[0], names)

    # ── Annotations ──────────────────────────────────────────────────────────────────────────────

    def read(self, annotation: Node, names: FileNames) -> Type | None:
        """Return the type that an annotation in the file of `names` means."""
        if self._nesting >= _DEEPEST_TYPE:
            return None
        self._nesting += 1
        try:
            return self._read(annotation, names)
        finally:
            self._nesting -= 1

    def _read(self, node: Node, names: FileNames) -> Type | None:
        if node.type in _PLAIN_TYPES:
            return None if text_of(node) in _NARROWED else OTHER
        reader = self._annotations.get(node.type)
        return None if reader is None else reader(self, node, names)

    def _read_plain(self, node: Node, names: FileNames) -> Type | None:
        return self._read_name(node, names, ())

    def _read_generic(self, node: Node, names: FileNames) -> Type | None:
        name, arguments = node.named_children[0], node.named_children[1].named_children
        read = tuple(self.read(argument, names) for argument in arguments)
        found = self._read_name(name, names, read)
        if isinstance(found, Named) and found.declaration is None and found != OTHER:
            # `Partial<T>`, `ReturnType<F>` and their like are computed.
            return found if found.name in _CONTAINERS else None
        return found

    def _read_inner(self, node: Node, names: FileNames) -> Type | None:
        return self.read(node.named_children[0], names)

    def _read_function(self, node: Node, names: FileNames) -> Type | None:
        function = _Function(node, names)
        returned = function.returned
        return Callback(
            tuple(self._parameter_type(item, names) for item in function.parameters),
            None if returned is None else self.read(returned, names),
        )

    def _read_union(self, node: Node, names: FileNames) -> Type | None:
        kept = [part for part in node.named_children if text_of(part) not in ("null", "undefined")]
        if len(kept) == 1:
            return self.read(kept[0], names)
        return OTHER if all(self.read(part, names) == OTHER for part in kept) else None

    def _read_name(
        self, node: Node, names: FileNames, arguments: tuple[Type | None, ...]
    ) -> Type | None:
        if node.type == "nested_type_identifier":
            return self._read_nested(node, names, arguments)
        name = text_of(node)
        declared = names.occurrences.meant(node, as_type=True)
        if declared is not None and declared.kind == "type_parameter":
            return Parameter(name, declared.node.start_byte)
        if declared is not None and declared.extent is not None:
            return None
        if declared is None and name not in names.imports:
            return Named(name, None, arguments)
        declaration = self._declaration(name, names)
        if declaration is not None:
            return self._named(declaration, arguments)
        return None if declared is not None else self._outside(name, names)

    def _read_nested(
        self, node: Node, names: FileNames, arguments: tuple[Type | None, ...]
    ) -> Type | None:
        """Return what `namespace.Type` means."""
        module, member = node.child_by_field_name("module"), node.child_by_field_name("name")
        item = names.imports.get(text_of(module)) if module is not None else None
        if item is None or item.imported != "*" or member is None:
            return None
        symbols = self._library.exports_of_specifier(item.specifier, names.path)
        symbol = symbols.get(text_of(member))
        return None if symbol is None else self._named(symbol.declaration, arguments)

    def _named(self, declaration: Declaration, arguments: tuple[Type | None, ...]) -> Type | None:
        """Return the declared type, aliases of names followed.

        A wrong number of type arguments makes it none at all.
        """
        nodes = self._library.nodes_of(declaration)
        if not all(_takes(node, len(arguments)) for node in nodes):
            return None
        alias = nodes[0] if len(nodes) == 1 and nodes[0].type == "type_alias_declaration" else None
        value = alias.child_by_field_name("value") if alias is not None else None
        simple = value is not None and value.type in ("type_identifier", "generic_type")
        if alias is not None and value is not None and simple:
            if alias.child_by_field_name("type_parameters") is not None:
                return None
            return self.read(value, self.names_of(declaration.file))
        return Named(declaration.name, declaration, arguments)

    def _declaration(self, name: str, names: FileNames) -> Declaration | None:
        """Return the snapshot's declaration that a top-level name of a file means."""
        own = self._library.declared_in(names.path).get(name)
        item = names.imports.get(name)
        if own is not None or item is None:
            return own
        symbol = self._library.exports_of_specifier(item.specifier, names.path).get(item.imported)
        if symbol is not None:
            return symbol.declaration
        return self._library.declaration_of(item.specifier, names.path, item.imported)

    def _outside(self, name: str, names: FileNames) -> Type | None:
        """Return OTHER for what an npm package exports; what the snapshot hides stays unknown."""
        item = names.imports.get(name)
        if item is None or item.specifier.startswith("."):
            return None
        local = item.specifier.startswith(self._library.profile.compile.local_prefixes)
        return None if local else OTHER

    # ── Names ────────────────────────────────────────────────────────────────────────────────────

    def _of_name(self, node: Node, names: FileNames) -> Type | None:
        if text_of(node) in names.names and isinstance(names.meaning(node), Namespace):
            return OTHER
        declared = names.occurrences.meant(node)
        if declared is not None:
            return self._of_declared(declared, names)
        name = text_of(node)
        if name not in names.imports:
            return OTHER
        declaration = self._declaration(name, names)
        return self._outside(name, names) if declaration is None else self._of_value(declaration)

    def _of_value(self, declaration: Declaration) -> Type | None:
        nodes = self._library.nodes_of(declaration)
        if len(nodes) != 1:
            return None
        names = self.names_of(declaration.file)
        if nodes[0].type != "variable_declarator":
            return self._of_definition(nodes[0])
        name = nodes[0].child_by_field_name("name")
        if name is None or name.type != "identifier":
            return None
        return self._of_declared(Declared(name, name, "variable", None), names)

    def _of_declared(self, declared: Declared, names: FileNames) -> Type | None:
        key = names, declared.node.start_byte
        if key not in self._declared:
            # A name that leads back to itself is unknown.
            self._declared[key] = None
            self._declared[key] = self._read_declared(declared, names)
        return self._declared[key]

    def _read_declared(self, declared: Declared, names: FileNames) -> Type | None:
        holder = declared.pattern.parent
        if holder is None:
            return None
        if declared.kind == "named":
            return self._of_definition(holder)
        whole: Type | None = None
        if declared.kind == "parameter":
            whole = self._of_parameter(holder, names)
        elif declared.kind == "variable":
            whole = self._of_variable(holder, names)
        if declared.pattern == declared.node:
            return whole
        for name, local in destructured(declared.pattern):
            if local == declared.node and isinstance(whole, Named):
                return self._field(whole, name)
        return None

    def _of_definition(self, node: Node) -> Type | None:
        """Return OTHER for what a function or class is itself, unless it inherits members."""
        return None if next(extended(node), None) is not None else OTHER

    def _of_variable(self, declarator: Node, names: FileNames) -> Type | None:
        annotation = declarator.child_by_field_name("type")
        if annotation is not None:
            return self.read(annotation.named_children[0], names)
        value = declarator.child_by_field_name("value")
        return None if value is None else self.of(value, names)

    def _of_parameter(self, holder: Node, names: FileNames) -> Type | None:
        if holder.type == "arrow_function":
            return self._expected(holder, 0, names)
        annotation = holder.child_by_field_name("type")
        if annotation is not None:
            return self.read(annotation.named_children[0], names)
        value = holder.child_by_field_name("value")
        if value is not None:
            return self.of(value, names)
        formal = holder.parent
        function = formal.parent if formal is not None else None
        if formal is None or function is None or function.type not in _FUNCTION_VALUES:
            return None
        return self._expected(function, formal.named_children.index(holder), names)

    def _expected(self, function: Node, position: int, names: FileNames) -> Type | None:
        """Return the type that a call expects of a parameter of the function passed to it."""
        arguments = function.parent
        call = arguments.parent if arguments is not None else None
        if arguments is None or call is None or arguments.type != "arguments":
            return None
        callee = call.child_by_field_name("function")
        if callee is None:
            return None
        passed = [child for child in arguments.named_children if child.type != "comment"]
        target = self._function(callee, names)
        if target is None:
            return self._then_value(callee, passed.index(function), names)
        declared = target.parameters
        index = passed.index(function)
        if index >= len(declared):
            return None
        expected = self._parameter_type(declared[index], target.names)
        if not isinstance(expected, Callback) or position >= len(expected.parameters):
            return None
        bound = self._bound(target, passed, names)
        return _substituted(expected.parameters[position], bound)

    def _then_value(self, callee: Node, index: int, names: FileNames) -> Type | None:
        """Return what `promise.then((value) => …)` passes on."""
        name, target = callee.child_by_field_name("property"), callee.child_by_field_name("object")
        if name is None or target is None or text_of(name) != "then" or index != 0:
            return None
        promise = self.of(target, names)
        return _awaited(promise) if _is_promise(promise) else None

    # ── Members ──────────────────────────────────────────────────────────────────────────────────

    def _of_this(self, node: Node, names: FileNames) -> Type | None:
        for outer in ancestors(node):
            if outer.type in _FUNCTIONS or outer.type == "function_expression":
                return None
            if outer.type not in _MEMBERS_OF_THIS:
                continue
            if any(child.type == "static" for child in outer.children):
                return None
            body = outer.parent
            owner = body.parent if body is not None else None
            name = owner.child_by_field_name("name") if owner is not None else None
            if owner is None or owner.type not in _CLASSES or name is None:
                return None
            declaration = self._library.declared_in(names.path).get(text_of(name))
            nodes = self._library.nodes_of(declaration) if declaration is not None else ()
            if declaration is None or owner not in nodes:
                return None
            return Named(declaration.name, declaration)
        return None

    def _of_field(self, node: Node, names: FileNames) -> Type | None:
        target, member = node.child_by_field_name("object"), node.child_by_field_name("property")
        whole = self.of(target, names) if target is not None else None
        if member is None or not isinstance(whole, Named):
            return None
        return self._field(whole, text_of(member))

    def _field(self, whole: Named, name: str) -> Type | None:
        found, _ = self.member(whole, name)
        if found is None:
            # What a global or a package holds is no type of the snapshot.
            return OTHER if whole == OTHER else None
        annotation = found.annotation
        if annotation is not None:
            if found.is_method:
                return OTHER
            return self.read(annotation, self.names_of(found.owner.file))
        value = found.node.child_by_field_name("value")
        return None if value is None else self.of(value, self.names_of(found.owner.file))

    def member(
        self,
        whole: Named,
        name: str,
        *,
        is_static: bool = False,
        visited: set[Declaration] | None = None,
    ) -> tuple[Member | None, bool]:
        """Return the member `name` of a type and whether that answer is certain.

        Each type is looked at once; `visited` are those that were.
        """
        if whole.declaration is None:
            return None, True
        own = self._classes.own(whole.declaration).get((name, is_static))
        if own is not None:
            return own, True
        if not self._classes.is_class(whole.declaration):
            # The members of a type alias are read by the type checker.
            return None, False
        visited = set() if visited is None else visited
        if whole.declaration in visited:
            return None, True
        visited.add(whole.declaration)
        certain = True
        names = self.names_of(whole.declaration.file)
        for parent in self._classes.parents(whole.declaration):
            inherited = self._read_parent(parent, names)
            if not isinstance(inherited, Named):
                certain = False
                continue
            found, known = self.member(inherited, name, is_static=is_static, visited=visited)
            if found is not None:
                return found, certain
            certain = certain and known
        return None, certain

    def _read_parent(self, parent: Node, names: FileNames) -> Type | None:
        if parent.type != "identifier":
            return self.read(parent, names)
        name = text_of(parent)
        if name not in names.imports and name not in self._library.declared_in(names.path):
            return OTHER
        declaration = self._declaration(name, names)
        if declaration is None:
            return self._outside(name, names)
        return Named(declaration.name, declaration)

    def receiver(self, target: Node, names: FileNames) -> tuple[Type | None, bool]:
        """Return the type whose members `target.…` are, and whether they are the static ones."""
        named = self._class(target, names)
        return (named, True) if named is not None else (self.of(target, names), False)

    def _class(self, expression: Node, names: FileNames) -> Named | None:
        """Return the class of the snapshot that an expression names."""
        node = unwrapped(expression)
        meaning = names.meaning(node)
        declaration: Declaration | None = None
        if isinstance(meaning, Symbol):
            declaration = meaning.declaration
        elif node.type == "identifier":
            declared = names.occurrences.meant(node)
            if declared is None or (declared.extent is None and declared.kind == "named"):
                declaration = self._declaration(text_of(node), names)
        if declaration is None or declaration.kind != "class":
            return None
        return Named(declaration.name, declaration)

    # ── Calls ────────────────────────────────────────────────────────────────────────────────────

    def _of_new(self, node: Node, names: FileNames) -> Type | None:
        constructor = node.child_by_field_name("constructor")
        if constructor is None:
            return None
        meaning = names.meaning(constructor)
        if isinstance(meaning, Symbol):
            return Named(meaning.name, meaning.declaration)
        if constructor.type != "identifier":
            return None
        declared = names.occurrences.meant(constructor)
        if declared is None:
            return self._class_outside(text_of(constructor), names)
        if declared.extent is not None or declared.kind != "named":
            return None
        declaration = self._declaration(text_of(constructor), names)
        return None if declaration is None else Named(declaration.name, declaration)

    def _class_outside(self, name: str, names: FileNames) -> Type | None:
        """Return the instance type of a class that the file does not declare itself."""
        if name not in names.imports:
            return OTHER
        declaration = self._declaration(name, names)
        if declaration is None:
            return self._outside(name, names)
        return Named(name, declaration) if self._classes.is_class(declaration) else None

    def _of_call(self, call: Node, names: FileNames) -> Type | None:
        callee = call.child_by_field_name("function")
        arguments = call.child_by_field_name("arguments")
        if callee is None or arguments is None:
            return None
        # The grammar reads `await f<T>(x)` as a call of `await f`.
        waits = callee.type == "await_expression"
        function = self._function(callee.named_children[0] if waits else callee, names)
        if function is None or function.returned is None:
            return None
        if function.returned.type == "this_type":
            target = unwrapped(callee).child_by_field_name("object")
            return None if target is None else self.of(target, names)
        returned = self.read(function.returned, function.names)
        if isinstance(returned, Named | Parameter):
            returned = _substituted(
                returned, self._bound(function, arguments.named_children, names)
            )
        return _awaited(returned) if waits else returned

    def _function(self, callee: Node, names: FileNames) -> _Function | None:
        """Return the one declaration of what is called."""
        node = unwrapped(callee)
        meaning = names.meaning(node)
        if isinstance(meaning, Symbol):
            return self._declared_function(meaning.declaration)
        if node.type == "member_expression":
            return self._method(node, names)
        if node.type != "identifier":
            return None
        declared = names.occurrences.meant(node)
        if declared is not None and declared.extent is not None:
            holder = declared.pattern.parent
            return None if holder is None else self._function_at([holder], names)
        declaration = self._declaration(text_of(node), names)
        return None if declaration is None else self._declared_function(declaration)

    def _declared_function(self, declaration: Declaration) -> _Function | None:
        nodes = self._library.nodes_of(declaration)
        return self._function_at(nodes, self.names_of(declaration.file)) if nodes else None

    def _function_at(self, nodes: Sequence[Node], names: FileNames) -> _Function | None:
        if len(nodes) != 1:
            return None
        (node,) = nodes
        if node.type == "variable_declarator":
            value = node.child_by_field_name("value")
            return (
                None
                if value is None or value.type not in _FUNCTION_VALUES
                else _Function(value, names)
            )
        return _Function(node, names) if node.type in _FUNCTIONS else None

    def _method(self, node: Node, names: FileNames) -> _Function | None:
        target, name = node.child_by_field_name("object"), node.child_by_field_name("property")
        if target is None or name is None:
            return None
        whole, is_static = self.receiver(target, names)
        if not isinstance(whole, Named):
            return None
        member, certain = self.member(whole, text_of(name), is_static=is_static)
        if member is None or not certain or not member.is_method or member.is_overloaded:
            return None
        return _Function(member.node, self.names_of(member.owner.file))

    def _parameter_type(self, parameter: Node, names: FileNames) -> Type | None:
        annotation = parameter.child_by_field_name("type")
        return None if annotation is None else self.read(annotation.named_children[0], names)

    def _bound(
        self, function: _Function, arguments: list[Node], names: FileNames
    ) -> Mapping[Parameter, Type]:
        """Return what the arguments of a call say of the function's type parameters."""
        if function.node.child_by_field_name("type_parameters") is None:
            return {}
        bound: dict[Parameter, Type] = {}
        passed = [child for child in arguments if child.type != "comment"]
        for declared, argument in zip(function.parameters, passed, strict=False):
            if argument.type in _FUNCTION_VALUES:
                continue
            expected = self._parameter_type(declared, function.names)
            if expected is not None:
                for parameter, given in _matches(expected, self.of(argument, names)):
                    bound.setdefault(parameter, given)
        return bound

    _expressions: ClassVar[Mapping[str, "_Reader"]] = {
        "identifier": _of_name,
        "this": _of_this,
        "member_expression": _of_field,
        "call_expression": _of_call,
        "new_expression": _of_new,
        "await_expression": _of_await,
        "as_expression": _of_cast,
        "satisfies_expression": _of_first,
    }
    _annotations: ClassVar[Mapping[str, "_Reader"]] = {
        "type_identifier": _read_plain,
        "identifier": _read_plain,
        "nested_type_identifier": _read_plain,
        "generic_type": _read_generic,
        "parenthesized_type": _read_inner,
        "union_type": _read_union,
        "function_type": _read_function,
    }


_Reader = Callable[[DeclaredTypes, Node, FileNames], Type | None]


def _takes(declaration: Node, arguments: int) -> bool:
    """Tell whether a type may be written with that many type arguments."""
    declared = declaration.child_by_field_name("type_parameters")
    parameters = [
        child
        for child in (declared.named_children if declared is not None else [])
        if child.type == "type_parameter"
    ]
    required = sum(1 for child in parameters if child.child_by_field_name("value") is None)
    return required <= arguments <= len(parameters)


def _matches(expected: Type | None, given: Type | None) -> Iterator[tuple[Parameter, Type]]:
    if given is None or expected is None:
        return
    if isinstance(expected, Parameter):
        yield expected, given
    elif (
        isinstance(expected, Named)
        and isinstance(given, Named)
        and (expected.name, expected.declaration) == (given.name, given.declaration)
    ):
        for inner, argument in zip(expected.arguments, given.arguments, strict=False):
            yield from _matches(inner, argument)


def _substituted(found: Type | None, bound: Mapping[Parameter, Type]) -> Type | None:
    if isinstance(found, Parameter):
        return bound.get(found)
    if isinstance(found, Named) and found.arguments:
        arguments = tuple(_substituted(argument, bound) for argument in found.arguments)
        return Named(found.name, found.declaration, arguments)
    return found


def _is_promise(found: Type | None) -> bool:
    return isinstance(found, Named) and found.declaration is None and found.name == "Promise"


def _awaited(found: Type | None) -> Type | None:
    if isinstance(found, Named) and _is_promise(found):
        return _awaited(found.arguments[0]) if found.arguments else None
    return found
