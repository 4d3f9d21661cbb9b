"""Pickles read as data: what other systems keep beside their tensors, without running or importing anything.

A pickle is a program that names classes and functions and calls them. Here the names are only labels: a small machine
of our own (over `pickletools.genops`, which decodes opcodes and runs none) builds lists, dictionaries, numbers and
text, and turns every call into a `Record` that holds the label and the arguments. Labels outside a closed list are
refused by name before anything is built with them, so a file that asks for `os.system` says so.

Why not `torch.load(weights_only=True)` with `add_safe_globals`: it needs the real classes (omegaconf, fairseq) or
stand-ins registered for the whole process, calls them, refuses what fairseq files hold (`defaultdict` items), and
believes the sizes that a file declares. Why not `pickle.Unpickler.find_class`: its C code allocates what a damaged
length or memo index asks for.

Floor 3, standard library alone. Knows no torch (`torchfiles` builds the tensors) and no fairseq.
"""

from __future__ import annotations

import pickletools
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, cast

from xlsr.errors import CheckpointError

# Real files need some hundred kilobytes, their optimizer's table included; an opcode of one byte builds up to 64.
MAX_PICKLE_BYTES = 16 << 20
_MAX_LINE = 4096

Builder = Callable[[tuple[object, ...]], object]

_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_NUMPY = ("multiarray.scalar", "multiarray._reconstruct")
LABELS = frozenset(
    {"argparse.Namespace", "copyreg._reconstructor", "_codecs.encode", "numpy.dtype", "numpy.ndarray"}
    | {f"builtins.{name}" for name in ("object bool int float str bytes list tuple dict set frozenset".split())}
    | {f"collections.{name}" for name in ("OrderedDict", "defaultdict", "Counter")}
    | {f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS}
    | {f"{module}.{name}" for module in ("numpy.core", "numpy._core") for name in _NUMPY}
    | {"_operator.getitem", "operator.getitem"}  # how annotations such as List[int] are pickled
)
# Whole packages whose names are labels only, whatever stands behind the dot.
LABEL_PACKAGES = ("omegaconf.", "fairseq.", "typing.")
# Modules and classes that protocol 2 writes under Python 2's names.
_PYTHON2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
_PYTHON2_CLASSES = {"builtins.long": "builtins.int", "builtins.unicode": "builtins.str"}


@dataclass(frozen=True)
class Label:
    """The name of a class or function in a pickle, such as `argparse.Namespace`; never the thing itself."""

    name: str


@dataclass(eq=False)
class Record:
    """An object of a pickle, as it was written down.

    Attributes:
        name: label of its class, or of the function that would have made it.
        args: what that would have been called with.
        state: what its `__setstate__` would have been given.
        items: keys and values that would have been put into it.
        elements: what would have been appended to it.
    """

    name: str
    args: tuple[object, ...] = ()
    state: object = None
    items: dict[object, object] = field(default_factory=dict)
    elements: list[object] = field(default_factory=list)


class Window:
    """A part of a buffer as the file that `pickletools` reads: it never gives more than is there."""

    def __init__(self, buffer: memoryview, start: int, size: int) -> None:
        self._buffer, self._at, self._end = buffer, start, min(start + size, len(buffer))

    def tell(self) -> int:
        """Position in the buffer."""
        return self._at

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        data = bytes(self._buffer[self._at : min(self._at + max(size, 0), self._end)])
        self._at += len(data)
        return data

    def readline(self) -> bytes:
        """Bytes through the next line feed, `_MAX_LINE` at most."""
        line = bytes(self._buffer[self._at : min(self._at + _MAX_LINE, self._end)])
        line = line[: line.find(b"\n") + 1] or line
        self._at += len(line)
        return line


def unpickle(
    window: Window,
    source: str,
    *,
    builders: Mapping[str, Builder] | None = None,
    persistent: Builder | None = None,
) -> object:
    """Read one pickle as data.

    Args:
        window: where it begins; left behind its end.
        source: what messages call the file.
        builders: further labels, each with what is done instead of calling it. Without them, `Record`s are made.
        persistent: turns the tuple of a persistent id (a storage of torch) into a value; None: there may be none.

    Returns:
        Lists, tuples, dictionaries (ordered and default ones too), numbers, text, bytes, `Label`s and `Record`s.

    Raises:
        CheckpointError: the pickle is damaged, too large, or names what no checkpoint needs.
    """
    machine = _Machine(source, _BUILDERS | dict(builders or {}), persistent)
    try:
        for opcode, argument, _ in pickletools.genops(cast(IO[bytes], window)):
            machine.step(opcode.name, argument)
        return machine.pop()
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error, DeprecationWarning) as error:
        raise CheckpointError(
            f"{source} is damaged: its pickle cannot be read ({type(error).__name__}: {error})"
        ) from error


class _Machine:
    """The stack, marks and memo of one pickle."""

    def __init__(self, source: str, builders: Mapping[str, Builder], persistent: Builder | None) -> None:
        self.source, self.builders, self.persistent = source, builders, persistent
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.left = MAX_PICKLE_BYTES

    def step(self, opcode: str, argument: object) -> None:
        """Do what one opcode asks, on data."""
        if opcode in _CONSTANTS:
            self.stack.append(_CONSTANTS[opcode])
        elif opcode in _LITERALS:
            if isinstance(argument, int) and argument.bit_length() > 128:
                raise ValueError("a number of more than 128 bits")
            self.stack.append(argument)
        elif opcode in _FRESH:
            self.stack.append(_FRESH[opcode]())
        elif opcode.endswith("PUT") or opcode == "MEMOIZE":
            self.memo[len(self.memo) if opcode == "MEMOIZE" else _index(argument)] = self.stack[-1]
        elif opcode.endswith("GET"):
            self.stack.append(self.memo[_index(argument)])
        elif opcode in _STEPS:
            _STEPS[opcode](self, argument)
        elif opcode not in ("PROTO", "FRAME", "STOP"):
            raise CheckpointError(f"{self.source} is refused: its pickle uses {opcode}, which no checkpoint needs")

    def pop(self) -> object:
        """Take the value on top."""
        return self.stack.pop()

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self, _: object) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def above_mark(self) -> list[object]:
        """Take everything above the last mark."""
        values, self.stack = self.stack, self.marks.pop()
        return values

    def label(self, argument: object) -> None:
        module, _, name = str(argument).partition(" ")
        self.push_label(module, name)

    def stack_label(self, _: object) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise TypeError("a global without a name")
        self.push_label(module, name)

    def push_label(self, module: str, name: str) -> None:
        name = f"{_PYTHON2.get(module, module)}.{name}"
        name = _PYTHON2_CLASSES.get(name, name)
        if name not in LABELS and name not in self.builders and not name.startswith(LABEL_PACKAGES):
            raise CheckpointError(
                f"{self.source} is refused: it names {name[:100]!r}, which no checkpoint needs and which could run "
                "code on loading; nothing of it was run. Take the file from its original publisher"
            )
        self.stack.append(Label(name))

    def call(self, _: object) -> None:
        args, made = self.pop(), self.pop()
        if not isinstance(made, Label) or not isinstance(args, tuple):
            raise TypeError(f"a call of {type(made).__name__} with {type(args).__name__}")
        # Builders copy their arguments; a few bytes could ask for the same large copy again and again.
        self.left -= sum(len(arg) for arg in args if isinstance(arg, str | list | tuple | dict))
        if self.left < 0:
            raise ValueError("objects larger than the file")
        builder = self.builders.get(made.name)
        self.stack.append(builder(args) if builder else Record(made.name, args))

    def set_state(self, _: object) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, dict):  # attributes of an OrderedDict, such as torch's _metadata, are not needed
            raise TypeError(f"state for a {type(target).__name__}")

    def append(self, _: object) -> None:
        self.extend([self.pop()])

    def extend(self, values: list[object]) -> None:
        target = self.stack[-1]
        elements = target.elements if isinstance(target, Record) else target
        if not isinstance(elements, list):
            raise TypeError(f"elements for a {type(target).__name__}")
        elements.extend(values)

    def set_items(self, values: list[object]) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Record) else target
        if not isinstance(items, dict):
            raise TypeError(f"items for a {type(target).__name__}")
        items.update(_pairs(values))

    def persist(self, _: object) -> None:
        key = self.pop()
        if self.persistent is None or not isinstance(key, tuple):
            raise TypeError("an unexpected persistent id")
        self.stack.append(self.persistent(key))


def _tuple_of(size: int) -> Callable[[_Machine, object], None]:
    def make(machine: _Machine, _: object) -> None:
        if len(machine.stack) < size:
            raise IndexError("a tuple of more values than there are")
        machine.stack[-size:] = [tuple(machine.stack[-size:])]

    return make


_CONSTANTS: dict[str, object] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_FRESH: dict[str, Callable[[], object]] = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8".split()
)
_STEPS: dict[str, Callable[[_Machine, object], None]] = {
    "MARK": _Machine.mark,
    "POP": lambda machine, _: (machine.pop(), None)[1],
    "POP_MARK": lambda machine, _: (machine.above_mark(), None)[1],
    "TUPLE": lambda machine, _: machine.push(tuple(machine.above_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "LIST": lambda machine, _: machine.push(machine.above_mark()),
    "DICT": lambda machine, _: machine.push(_pairs(machine.above_mark())),
    "APPEND": _Machine.append,
    "APPENDS": lambda machine, _: machine.extend(machine.above_mark()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.above_mark()),
    "SETITEM": lambda machine, _: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.above_mark()),
    "GLOBAL": _Machine.label,
    "STACK_GLOBAL": _Machine.stack_label,
    "REDUCE": _Machine.call,
    "NEWOBJ": _Machine.call,
    "BUILD": _Machine.set_state,
    "BINPERSID": _Machine.persist,
}


def _index(argument: object) -> int:
    if not isinstance(argument, int):
        raise TypeError("a memo index that is no number")
    return argument


def _pairs(values: list[object]) -> dict[object, object]:
    """Keys and values in turn -> a dictionary. Keys are flat: hashing deep tuples would overflow the C stack."""
    if len(values) % 2:
        raise ValueError("a key without a value")
    for key in values[::2]:
        parts = key if isinstance(key, tuple) else (key,)
        if not all(isinstance(part, str | int | float | bytes | Label | Record | None) for part in parts):
            raise TypeError(f"a key that is {type(key).__name__}")
    return dict(zip(values[::2], values[1::2], strict=True))


def _mapping(args: tuple[object, ...]) -> object:
    """`OrderedDict()`, `defaultdict(factory)`, or pairs, as Python 2 wrote them."""
    if args and isinstance(args[0], dict):
        return args[0]
    pairs = args[0] if args and isinstance(args[0], list | tuple) else ()
    return _pairs([part for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2 for part in pair])


def _encoded(args: tuple[object, ...]) -> object:
    """Bytes, which protocol 2 writes as text and its encoding, or as `bytes()`."""
    if not args:
        return b""
    if not isinstance(args[0], str):
        raise TypeError("bytes that are no text")
    return args[0].encode("latin-1")


def _reconstructed(args: tuple[object, ...]) -> object:
    """`copyreg._reconstructor(class, object, None)`: an object whose state follows."""
    if not args or not isinstance(args[0], Label):
        raise TypeError("an object without a class")
    return Record(args[0].name)


_BUILDERS: dict[str, Builder] = {
    "collections.OrderedDict": _mapping,
    "collections.defaultdict": _mapping,
    "collections.Counter": _mapping,
    "builtins.dict": _mapping,
    "builtins.bytes": _encoded,
    "_codecs.encode": _encoded,
    "copyreg._reconstructor": _reconstructed,
}
