"""Mutants: copies of a function with one small slip each, for asking whether a check would notice it."""

import ast
import copy
import functools
import inspect
import signal
import textwrap
from collections.abc import Callable, Iterator

COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
SECONDS = 2  # for one call; a slip in a loop can make it endless
Slip = Callable[[ast.AST], None]  # changes a node in place


def mutants_of(function: Callable) -> dict[str, Callable]:
    """Every mutant of `function`, by its source; those that read the same as each other come once."""
    tree = _bare(ast.parse(textwrap.dedent(inspect.getsource(function))))
    original, found = ast.unparse(tree), {}
    for number, node in enumerate(ast.walk(tree)):
        for slip in _slips(node, tree):
            mutant = copy.deepcopy(tree)
            slip(list(ast.walk(mutant))[number])
            source = ast.unparse(ast.fix_missing_locations(mutant))
            if source != original:
                found.setdefault(source, _limited(_compiled(source, function)))
    return found


def _bare(tree: ast.Module) -> ast.Module:
    """Without annotations and docstrings, which do nothing when the function runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            node.body = node.body[ast.get_docstring(node) is not None :]
        elif isinstance(node, ast.arg):
            node.annotation = None
    return tree


def _compiled(source: str, function: Callable) -> Callable:
    namespace = dict(function.__globals__)
    exec(compile(source, "<mutant>", "exec"), namespace)
    return namespace[function.__name__]


def _limited(function: Callable) -> Callable:
    """`function`, ended by an error when a call takes too long (where the system has timers)."""

    def stop(*_: object) -> None:
        raise TimeoutError("endless")

    @functools.wraps(function)
    def limited(*arguments: object) -> object:
        if not hasattr(signal, "setitimer"):
            return function(*arguments)
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            return function(*arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    return limited


def _slips(node: ast.AST, tree: ast.Module) -> Iterator[Slip]:
    """The slips that one can make at `node`."""
    if isinstance(node, ast.Compare):
        yield from (_set("ops", [other()]) for other in COMPARISONS if len(node.ops) == 1)
        yield from (_chained(place) for place in range(len(node.ops)) if len(node.ops) > 1)
    if isinstance(node, ast.BinOp):
        yield from (_set("op", other()) for other in ARITHMETIC)
        yield lambda n: n.__dict__.update(left=n.right, right=n.left)
    if isinstance(node, ast.AugAssign):
        yield from (_set("op", other()) for other in ARITHMETIC)
    if isinstance(node, ast.BoolOp):
        yield _set("op", ast.And() if isinstance(node.op, ast.Or) else ast.Or())
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield _set("op", ast.UAdd())
    if isinstance(node, ast.Constant):
        yield from (_set("value", other) for other in _other_constants(node.value, tree))
    if isinstance(node, ast.Attribute):
        yield from (_set("attr", other) for other in _names(tree, ast.Attribute, "attr"))
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _locals(tree):
        yield from (_set("id", other) for other in _locals(tree))
    yield from _slips_of_order(node)


def _slips_of_order(node: ast.AST) -> Iterator[Slip]:
    """Conditions turned round, arguments exchanged or forgotten, statements left out."""
    if isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
        yield from (_set("test", ast.Constant(value)) for value in (False, True) if not isinstance(node, ast.While))
    if isinstance(node, ast.Call):
        if len(node.args) > 1:
            yield lambda n: n.args.reverse()
        yield from (_drop("keywords", place) for place in range(len(node.keywords)))
    if isinstance(node, ast.Return) and node.value is not None:
        yield _set("value", None)
    for field in ("body", "orelse"):
        statements = getattr(node, field, None)
        if isinstance(statements, list) and not isinstance(node, ast.Module):
            yield from (_drop(field, place) for place in range(len(statements)))


def _set(field: str, value: object) -> Slip:
    return lambda node: setattr(node, field, value)


def _chained(place: int) -> Slip:
    """One comparison of a chain a < b < c made the opposite way."""
    opposite = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq}
    return lambda node: node.ops.__setitem__(place, opposite.get(type(node.ops[place]), ast.Eq)())


def _drop(field: str, place: int) -> Slip:
    def drop(node: ast.AST) -> None:
        entries = getattr(node, field)
        del entries[place]
        if field == "body" and not entries:
            entries.append(ast.Pass())

    return drop


def _other_constants(value: object, tree: ast.Module) -> list:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, (int, float)):
        return [value + 1, value - 1, -value, value + 0.01, value * 2]
    if isinstance(value, str):
        return ["", *(node.value for node in ast.walk(tree) if _is_text(node) and node.value != value)]
    return []


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _names(tree: ast.Module, kind: type, field: str) -> set[str]:
    return {getattr(node, field) for node in ast.walk(tree) if isinstance(node, kind)}


def _locals(tree: ast.Module) -> list[str]:
    """Arguments and variables of the function."""
    stored = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return sorted(stored | _names(tree, ast.arg, "arg"))
