"""Arguments of stored tasks as Python code, from the JSON forms in `args.json`. No class is loaded."""
from __future__ import annotations

import base64
import datetime as dt
import struct
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from taskproc.text import printable

_MOST_BYTES = 24  # are shown
_KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex", "b": "bool", "U": "str", "S": "bytes", "O": "object",
          "M": "datetime64", "m": "timedelta64"}  # fmt: skip
_MICROSECONDS = {"D": (86_400_000_000, 1), "h": (3_600_000_000, 1), "m": (60_000_000, 1), "s": (1_000_000, 1),
                 "ms": (1000, 1), "us": (1, 1), "ns": (1, 1000)}  # fmt: skip
_CODES = {"f8": "d", "f4": "f", "f2": "e", "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q",
          "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}  # fmt: skip


# The text of a task from the name of its class, its key, and its arguments where these are known
TaskText = Callable[[str, str, Mapping[str, Any]], str]


class Arguments:
    """The arguments of one task, by name.

    Args:
        content: of its `args.json`; None if the file is incomplete or missing.

    Attributes:
        forms: name → JSON form.
    """

    def __init__(self, content: Mapping[str, Any] | None):
        forms = (content or {}).get("args")
        self.forms: dict[str, Any] = forms if isinstance(forms, dict) else {}

    def tasks(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """The name of the class, the key, and the stored arguments if there are any, of each task in the arguments."""
        return (task for form in self.forms.values() for task in _tasks_in(form))

    def texts(self, call: TaskText, last: Collection[str] = ()) -> dict[str, str]:
        """Name → text. Plain arguments come first, because they say more than tasks.

        Args:
            call: gives the text of a task.
            last: names of arguments that come after all others.
        """
        names = sorted(self.forms, key=lambda name: (name in last, any(True for _ in _tasks_in(self.forms[name]))))
        return {printable(name): printable(_argument_text(self.forms[name], call)) for name in names}


def _argument_text(form: Any, call: TaskText) -> str:
    try:
        return _text(form, call)
    except RecursionError:
        return "…"  # nested too deeply


def _tasks_in(form: Any) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Name, key and stored arguments of each task in a form."""
    todo = [form]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            body: Any = part.get("__task__")
            if _is_task(body):
                yield body[0], body[1], body[2] if isinstance(body[-1], dict) else {}
            todo.extend(part.values())
        elif isinstance(part, list):
            todo.extend(part)


def _is_task(body: Any) -> bool:
    return isinstance(body, list) and len(body) in (2, 3) and all(isinstance(part, str) for part in body[:2])


def _text(form: Any, call: TaskText) -> str:
    """A form as a Python literal, or as a call if its type has no literals: `Path('a')`, `Color.RED`, `Point(x=1)`."""
    if isinstance(form, list):
        return f"[{_row(form, call)}]"
    if not isinstance(form, dict):
        return repr(form)
    tag, body = next(iter(form.items()), ("", None))
    if len(form) != 1 or not (tag.startswith("__") and tag.endswith("__")):
        return _braces([(repr(key), _text(value, call)) for key, value in form.items()])
    try:
        return _TAGS[tag](body, call) if tag in _TAGS else _other(tag, body, call)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError):
        return _other(tag, body, call)  # of another program, or incomplete


def _row(forms: Sequence[Any], call: TaskText) -> str:
    return ", ".join(_text(form, call) for form in forms)


def _braces(pairs: Sequence[tuple[str, str]]) -> str:
    return f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}"


def _pairs(body: Any, call: TaskText) -> str:
    return _braces([(_text(key, call), _text(value, call)) for key, value in body])


def _task(body: Any, call: TaskText) -> str:
    name, key, *more = body
    return call(name, key, more[0] if more and isinstance(more[0], dict) else {})


def last_part(name: str) -> str:
    """`Fit` for `study.models.Fit` and for `study.models:Fit`."""
    return name.rpartition(":")[2].rpartition(".")[2]


def _tuple(body: Any, call: TaskText) -> str:
    return f"({_row(body, call)}{',' if len(body) == 1 else ''})"


def _fields(body: Any, call: TaskText) -> str:
    name, fields = body[:2]
    return f"{last_part(name)}({', '.join(f'{field}={_text(value, call)}' for field, value in fields.items())})"


def _set(body: Any, call: TaskText) -> str:
    return f"{{{_row(body, call)}}}" if body else "set()"


def _raw(body: Any) -> str:
    """Bytes, cut if there are many; only their number if a digest was stored in their place."""
    if isinstance(body, dict):
        return f"<{body['size']:,} bytes>"
    data = base64.b64decode(body)
    return repr(data) if len(data) <= _MOST_BYTES else f"{data[:_MOST_BYTES]!r}… <{len(data):,} bytes>"


def _time(kind: str, body: Any, call: TaskText) -> str:
    text, _, zone = body
    return f"{kind}('{text}')" if zone is None else f"{kind}('{text}', {_text(zone, call)})"


def _offset(*parts: int) -> str:
    offset = dt.timedelta(*parts)
    return f"-{-offset}" if offset < dt.timedelta() else f"+{offset}"


def _decimal(body: Any, call: TaskText) -> str:
    from decimal import Decimal  # here: 3 ms, and rarely needed

    sign, digits, exponent = body
    return repr(Decimal((sign, tuple(map(int, digits)), exponent)))


def _numpy(kind: str, content: Any, call: TaskText) -> str:
    """The type and shape of an array, the type and value of a scalar."""
    if kind in ("str", "bytes"):
        return f"{kind}_({_text(content, call) if kind == 'str' else _raw(content)})"
    if kind == "dtype":
        return f"dtype({_dtype(content)})"
    name = _dtype(content["dtype"])
    if kind == "array":
        return f"array({name}, shape={_tuple(content['shape'], call)})"
    dtype = content["dtype"]
    code = "q" if dtype[1:3] in ("M8", "m8") else _CODES.get(dtype[1:])
    if code is None:
        return f"{name}(…)"
    (value,) = struct.unpack(dtype[0].replace("|", "=") + code, base64.b64decode(content["content"]))
    if dtype[1] == "M" and (unit := dtype[4:-1]) in _MICROSECONDS:
        return f"datetime64('{_since_1970(value, unit)}')"
    return f"{name}({value!r})"


def _dtype(form: Any) -> str:
    """`float64` for `<f8`; unchanged if it has no such name."""
    if not isinstance(form, str):
        return "struct"
    kind, size = form[1:2], form[2:]
    name = _KINDS.get(kind, "")
    if kind in "fiuc" and size.isdecimal():
        return f"{name}{8 * int(size)}"
    return f"{name}{size[1:]}" if kind in "Mm" else name or form


def _frame(kind: str, body: Any) -> str:
    """The kind of a frame or another object of its library; the text of a time."""
    if kind != "Timestamp":
        return f"{kind}(…)"
    unit, count, zone = body
    text = _since_1970(count, unit)
    return f"Timestamp('{text}')" if zone is None else f"Timestamp('{text}Z')"


def _since_1970(count: int, unit: str) -> str:
    times, of = _MICROSECONDS[unit]
    return (dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=count * times // of)).isoformat()


def _other(tag: str, body: Any, call: TaskText) -> str:
    inner = _row(body, call) if isinstance(body, list) else _text(body, call)
    return f"{tag.strip('_')}({inner})"


_TAGS: Mapping[str, Callable[[Any, TaskText], str]] = {
    "__task__": _task,
    "__item__": lambda body, call: f"{_text(body[0], call)}[{_text(body[1], call)}]",
    "__const__": lambda body, call: f"Const({_text(body, call)})",
    "__futurelist__": lambda body, call: f"[{_row(body, call)}]",
    "__futuredict__": _text,
    "__tuple__": _tuple,
    "__set__": _set,
    "__frozenset__": lambda body, call: f"frozenset({_set(body, call) if body else ''})",
    "__dict__": _pairs,
    "__path__": lambda body, call: f"Path({_text(body[1], call)})",
    "__int__": lambda body, call: str(int(body, 16)),
    "__constant__": lambda body, call: str(body),
    "__str__": lambda body, call: repr(bytes.fromhex(body).decode("utf-8", "surrogatepass")),
    "__bytes__": lambda body, call: _raw(body),
    "__bytearray__": lambda body, call: f"bytearray({_raw(body)})",
    "__datetime__": lambda body, call: _time("datetime", body, call),
    "__time__": lambda body, call: _time("time", body, call),
    "__timezone__": lambda body, call: f"UTC{_offset(*body[0]['__timedelta__'])}",
    "__zone__": lambda body, call: str(body),
    "__timedelta__": lambda body, call: f"timedelta('{dt.timedelta(*body)}')",
    "__decimal__": _decimal,
    "__uuid__": lambda body, call: f"UUID({body!r})",
    "__fraction__": lambda body, call: f"Fraction({_row(body, call)})",
    "__complex__": lambda body, call: repr(complex(*(float(part["__float__"] if isinstance(part, dict) else part)
                                                    for part in body))),
    "__pattern__": lambda body, call: f"re.compile({_text(body[0], call)})",
    "__ordereddict__": lambda body, call: f"OrderedDict({_pairs(body, call)})",
    "__counter__": lambda body, call: f"Counter({_pairs(body, call)})",
    "__numpy__": lambda body, call: _numpy(body[0], body[1], call),
    "__pandas__": lambda body, call: _frame(*body),
    "__polars__": lambda body, call: _frame(*body),
    "__registered__": lambda body, call: f"{last_part(body[0])}({_text(body[1], call)})",
    "__key__": lambda body, call: f"{last_part(body[0])}({_text(body[1], call)})",
    "__float__": lambda body, call: body,
    "__enum__": lambda body, call: f"{last_part(body[0])}.{body[1]}",
    "__class__": lambda body, call: last_part(body),
    "__function__": lambda body, call: last_part(body),
    "__namedtuple__": _fields,
    "__dataclass__": _fields,
    "__attrs__": _fields,
    "__pydantic__": _fields,
}
