"""Source files: the text from which a module was loaded, and where in it a function stands.

A file may have been edited since its module was imported, and the old code runs. So a function is not found by its line
alone: the text is compiled, and the result must do the same as the function. Other statements of a module count as they
are written, so it must be known from which text it was loaded. If this is not known, it is not guessed: the module
counts as edited.
"""
from __future__ import annotations

import ast
import functools
import importlib.util
import io
import linecache
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from types import CodeType, FunctionType, ModuleType
from typing import Any

from taskproc.by_value import remembered_text
from taskproc.imports import Load, Stamp, loader_of, loads_behind, loads_of, stamp_of
from taskproc.imports import count as loads
from taskproc.modules import FILE, main_name
from taskproc.source.bytecode import ByCode, code_text, nested_codes
from taskproc.source.scopes import Module, Scope
from taskproc.source.syntax import digest, first_line

_COMPILED = tuple(EXTENSION_SUFFIXES)
_KEPT = 6        # versions of the text of one file
_NO_LINE = 1 << 24   # lines that no file has
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # cells of a notebook may await; of a function it changes nothing
_FUTURES = 0x1FE0000  # flags of `from __future__ import …`, which cells of a notebook inherit

CodeTree = Iterator[CodeType]
Codes = Mapping[str, list[CodeType]]

_versions: dict[str, list[SourceFile]] = {}
_stamps: dict[str, tuple[Stamp, SourceFile | None]] = {}
_located: ByCode[tuple[tuple[SourceFile, Scope] | None]] = ByCode()


class SourceFile:
    """One version of a file, parsed.

    Raises:
        SyntaxError: the text is not Python.
    """

    def __init__(self, path: str, text: str, flags: int = 0):
        self.path, self.text, self.flags = path, text, flags
        self.lines = text_lines(text)
        self.tree = ast.parse(text)
        self.module = Module(self.tree)
        self.memo: dict[object, Any] = {}  # what other files of this room found out about this text
        self._scopes: dict[tuple[str, int], list[Scope]] = {}
        for scope in self.module.functions:
            self._scopes.setdefault((scope.name, first_line(scope.node)), []).append(scope)

    def scope_of(self, code: CodeType) -> Scope | None:
        """The scope of the function or lambda from which `code` was compiled; None if none here does the same."""
        return self._scope_among(self._codes, code, self._compiled) or (
            self._scope_among(self._single_codes, code, self._compiled_singly)
        )

    @functools.cached_property
    def _codes(self) -> Codes:
        return _codes_by_name(self._compiled(self.tree))

    def _scope_among(self, codes: Codes, code: CodeType, compiled: Callable[[ast.Module], CodeTree]) -> Scope | None:
        scopes = self._scopes.get((code.co_name, code.co_firstlineno), [])
        if len(scopes) == 1 and code in codes.get(code.co_name, ()):  # equal and at the same line: the quick case
            return scopes[0]
        wanted = code_text(code)
        same = [other for other in codes.get(code.co_name, ()) if code_text(other) == wanted]
        for other in sorted(same, key=lambda other: abs(other.co_firstlineno - code.co_firstlineno)):
            scopes = self._scopes.get((other.co_name, other.co_firstlineno), [])
            if len(scopes) == 1:
                return scopes[0]
            for scope in scopes:
                alone = self._alone(scope, compiled)
                if alone is not None and code_text(alone) == wanted:
                    return scope
        return None

    def _alone(self, scope: Scope, compiled: Callable[[ast.Module], CodeTree]) -> CodeType | None:
        """The code of one of several lambdas on a line: it is moved to a line of its own and compiled.

        None if it stands in an annotation that is not compiled.
        """
        tree = ast.parse(self.text)
        twins = [twin for twin in Module(tree).functions if twin.name == scope.name]
        originals = [function for function in self.module.functions if function.name == scope.name]
        node: Any = twins[originals.index(scope)].node
        node.lineno = node.end_lineno = _NO_LINE
        node.end_col_offset = node.col_offset + 1
        return next((code for code in compiled(tree) if code.co_firstlineno == _NO_LINE), None)

    @functools.cached_property
    def _single_codes(self) -> Codes:
        """As IPython and the interactive shell compile: each statement of the top level by itself.

        This code differs from that of the whole text: since Python 3.11, a call such as `math.sqrt(x)` is compiled in
        another way if the same compilation unit imports `math`.
        """
        return _codes_by_name(self._compiled_singly(self.tree))

    def _compiled(self, tree: ast.Module) -> CodeTree:
        """The code objects in a tree of this text, compiled as a whole; none if that fails."""
        try:
            code = compile(tree, self.path, "exec", flags=self.flags | _AWAIT, dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError):  # for example `return` outside a function
            return iter(())
        return nested_codes(code)

    def _compiled_singly(self, tree: ast.Module) -> CodeTree:
        for statement in tree.body:
            yield from self._compiled(ast.Module([statement], []))

    def class_scopes(self, qualname: str) -> list[Scope]:
        """The class statements of this name, the last one first."""
        return [scope for scope in reversed(self.module.classes) if scope.qualname == qualname]

    def segment(self, node: Any, omitted: frozenset[int] = frozenset()) -> str:
        """The text of a node with its decorators, dedented, without the lines of `omitted` nodes inside it."""
        if isinstance(node, ast.Lambda):
            return ast.get_source_segment(self.text, node) or ""
        hidden = {
            line
            for inner in (ast.walk(node) if omitted else ())
            if id(inner) in omitted and isinstance(inner, ast.stmt)
            for line in range(first_line(inner), (inner.end_lineno or 0) + 1)
        }
        lines = [number for number in range(first_line(node), node.end_lineno + 1) if number not in hidden]
        texts = [self.lines[number - 1] for number in lines]
        margin = texts[0][: len(texts[0]) - len(texts[0].lstrip())] if texts else ""
        return "".join(text.removeprefix(margin) for text in texts).rstrip() + "\n"


def text_lines(text: str) -> list[str]:
    """Its lines with their ends, as Python counts them: `str.splitlines` also splits at form feeds and others."""
    return list(io.StringIO(text, newline=""))


def _codes_by_name(codes: CodeTree) -> Codes:
    found: dict[str, list[CodeType]] = {}
    for code in codes:
        found.setdefault(code.co_name, []).append(code)
    return found


def source_of(code: CodeType, names: Mapping[str, Any]) -> tuple[SourceFile, Scope] | None:
    """The file and scope of the code of a function with these globals; looked up once."""
    known = _located.get(code)
    return known[0] if known is not None else _located.put(code, (next(_possible_sources(code, names), None),))[0]


def _possible_sources(code: CodeType, names: Mapping[str, Any]) -> Iterator[tuple[SourceFile, Scope]]:
    looked: set[int] = set()
    for file in _file_versions(code, names):
        scope = None if id(file) in looked else file.scope_of(code)
        looked.add(id(file))
        if scope is not None:
            yield file, scope


def _file_versions(code: CodeType, names: Mapping[str, Any]) -> Iterator[SourceFile]:
    """The versions of the file: as loaded, as it is now, and as tracebacks have shown it, which may be older.

    A method may be the same in several versions while the rest of its class differs, so the loaded version comes first.
    """
    path, flags = code.co_filename, code.co_flags & _FUTURES
    sent = remembered_text(path)  # code that came by value may be older than the file
    if sent is not None:
        yield from filter(None, [_version(path, sent, flags)])
    module = sys.modules.get(str(names.get("__name__")))
    behind = loads_behind(module) if module is not None and vars(module) is names else []
    for load in [*behind, *reversed(loads_of(path))]:
        yield from filter(None, [loaded_version(path, load)])
    now = present_file(path)
    if now is not None:
        yield now
    if now is not None and flags:
        yield from filter(None, [_version(path, now.text, flags)])
    shown = linecache.cache.get(path)
    lines = shown[2] if shown is not None and len(shown) == 4 else [] if now else linecache.getlines(path, dict(names))
    if lines and sent is None:
        yield from filter(None, [_version(path, "".join(lines), flags)])
    yield from [file for file in _versions.get(path, ()) if file is not now]


def loaded_version(path: str, load: Load) -> SourceFile | None:
    """The file as it was at a load; None if its text is unknown or not Python. Parsed once."""
    if load.made is None and load.content is not None:
        text = decode_source(load.content)
        load.made = file_version(path, text) if text is not None else None
    return load.made if isinstance(load.made, SourceFile) else None


def loaded_texts(things: Iterable[object]) -> dict[str, str]:
    """Path → text of the files from which functions and classes were compiled, if the file has another text now.

    Only for code whose source was looked up before: no other texts are remembered.
    """
    texts: dict[str, str] = {}
    for thing in things:
        functions = vars(thing).values() if isinstance(thing, type) else (thing,)
        for code in [function.__code__ for function in functions if isinstance(function, FunctionType)]:
            known = _located.get(code)
            if known is not None and known[0] is not None and present_file(code.co_filename) is not known[0][0]:
                texts[code.co_filename] = known[0][0].text
    return texts


def notebook_cells() -> Iterator[SourceFile]:
    """The notebook cells that were run, oldest first; IPython stores their text for tracebacks."""
    for path, shown in list(linecache.cache.items()):
        if len(shown) == 4 and (path.startswith("<ipython-input") or "ipykernel_" in path):
            yield from filter(None, [_version(path, "".join(shown[2]), 0)])


def module_file(names: Mapping[str, Any]) -> SourceFile | None:
    """The present file of the module with these globals; None for a notebook, or if there is no source."""
    path = names.get("__file__", names.get(FILE))
    return present_file(path) if isinstance(path, str) and not path.endswith(_COMPILED) else None


def present_file(path: str) -> SourceFile | None:
    """The file as it is now; None if it cannot be read or is not Python. Costs one `stat` if it has not changed."""
    stamp = stamp_of(path)
    if stamp is None:
        return None
    known = _stamps.get(path)
    if known is not None and known[0] == stamp:
        return known[1]
    try:
        with open(path, "rb") as file:
            text = decode_source(file.read())
    except OSError:
        return None
    if text is None:
        return None
    _stamps[path] = (stamp, file_version(path, text))
    return _stamps[path][1]


def decode_source(content: bytes) -> str | None:
    """The text of a source file; None if it cannot be decoded."""
    try:
        return importlib.util.decode_source(content)
    except (UnicodeDecodeError, SyntaxError, ValueError):
        return None


def file_version(path: str, text: str) -> SourceFile | None:
    """The file with this text, always the same object; None if it is not Python."""
    return _version(path, text, 0)


def _version(path: str, text: str, flags: int) -> SourceFile | None:
    kept = _versions.setdefault(path, [])
    for file in kept:
        if file.text == text and file.flags == flags:
            return file
    try:
        made = SourceFile(path, text, flags)
    except (SyntaxError, ValueError, RecursionError):  # a cell with magics, or code that is nested too deeply
        return None
    kept.append(made)
    del kept[:-_KEPT]
    return made

_ahead: dict[str, list[str]] = {}  # module → texts that were read before it was loaded

EDITED = "was edited after it was loaded, and what it was loaded from is not known"


def loaded_file(module: ModuleType) -> SourceFile | None:
    """The file as the module was loaded from it; None if it has none, or if its text is not known any more.

    Fast from the second call on.
    """
    path = module_path(module)
    return next(_load_versions(module, path), None) if path is not None else None


def was_edited(module: ModuleType) -> bool:
    """Whether the text from which a module was loaded is unknown, because its file was edited."""
    return bool(loads_behind(module)) and loaded_file(module) is None


def loaded_files(module: ModuleType) -> list[SourceFile]:
    """All remembered texts from which a module was loaded in this process, the last one first."""
    path = str(module_path(module))
    return list(filter(None, (loaded_version(path, load) for load in reversed(loads_of(path)))))


def may_be_older(module: ModuleType, cls: type) -> bool:
    """Whether a class may have been made before its module was loaded again from another text."""
    if len({load.content for load in loads_of(str(module_path(module)))}) < 2 or not loads_behind(module):
        return False
    found: object = module
    for name in cls.__qualname__.split("."):
        found = getattr(found, "__dict__", {}).get(name)
    return found is not cls


def unique_digest(module: ModuleType) -> str:
    """A digest for the unknown statements of such a module, equal only in this process and its children."""
    load = loads_behind(module)[0]
    load.unlike = load.unlike or digest(os.urandom(16).hex())
    return load.unlike


def read_ahead(name: str, path: str) -> SourceFile | None:
    """The present file of a module that is not loaded; remembered, because it may be edited before it is loaded."""
    file = present_file(path)
    texts = _ahead.setdefault(name, [])
    if file is not None and file.text not in texts:
        texts.append(file.text)
    return file


def loaded_otherwise() -> frozenset[str]:
    """Names of modules that were loaded from another text than was read ahead; fast if none was loaded since."""
    now = loads(), len(sys.modules)
    if _late_loads.seen != now:
        modules = [(name, module) for name in list(_ahead) if (module := sys.modules.get(name)) is not None]
        _late_loads.names = frozenset(name for name, module in modules if not _is_as_read(module, _ahead[name]))
        _late_loads.seen = now
    return _late_loads.names


def _is_as_read(module: ModuleType, texts: list[str]) -> bool:
    file = loaded_file(module)
    return file is not None and all(text == file.text for text in texts)


class _LateLoads:
    """The last answer of `loaded_otherwise`, with the numbers of loads and modules for which it is valid."""

    seen: tuple[int, int] = (-1, -1)
    names: frozenset[str] = frozenset()


_late_loads = _LateLoads()


def module_path(module: ModuleType) -> str | None:
    """The path of a module; if `__main__` stands for another module, the path of that one."""
    names = vars(module)
    path = names.get("__file__", names.get(FILE))
    return path if type(path) is str else None


def _load_versions(module: ModuleType, path: str) -> Iterator[SourceFile]:
    """One; more if a module was loaded again from a text that does not compile, and so stayed as it was."""
    sent = remembered_text(path)
    if sent is not None:  # came by value
        yield from filter(None, [file_version(path, sent)])
        return
    if FILE in vars(module) or loader_of(module) is None:  # not imported: the file as it is now
        yield from filter(None, [present_file(path)])
    for load in loads_behind(module):
        if load.content is None:
            return
        yield from filter(None, [loaded_version(path, load)])

_searched: dict[tuple[str, tuple[str, ...]], str] = {}


def locate_module(module: str) -> tuple[str | None, ModuleType | None]:
    """The path of a module, and the module if it is loaded; nothing is imported to find it."""
    loaded = _loaded_module(module)
    if loaded is not None:
        return module_path(loaded), loaded
    key = (module, tuple(sys.path))
    if key not in _searched and (path := _search(module)) is not None:
        _searched[key] = path
    return _searched.get(key), None


def _loaded_module(module: str) -> ModuleType | None:
    return sys.modules.get("__main__" if module == main_name() else module)


def _search(module: str) -> str | None:
    """The path of a module that is not loaded. Unlike `importlib.util.find_spec`, this does not import its packages."""
    places: Any = None
    spec: ModuleSpec | None = None
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = next(filter(None, (_spec(finder, name, places) for finder in sys.meta_path)), None)
        if spec is None:
            return None
        places = spec.submodule_search_locations
    if spec is not None and spec.has_location:
        return spec.origin
    return str(spec.origin or next(iter(places or ()), "")) if spec is not None else None


def _spec(finder: Any, name: str, places: Any) -> ModuleSpec | None:
    try:
        found: ModuleSpec | None = finder.find_spec(name, places)
    except Exception:  # noqa: BLE001  # a finder of another library, which may not know the module
        return None
    return found
