"""Which code of the user a class or function reaches, item by item, without running any of it.

The rule: each name that code reaches is followed, counted, known by the version of a package, or confessed. A function
or class of the user's project is followed. Any other name of the project is counted, by the statements that bind or
change it and by its value. Code of a library is known by its version. The rest is listed as untracked.

A file uses the files below it, and none above it:

    fingerprint       the result: items and digests; comparing them with stored ones
    walk              from the given classes and functions to all that they reach
    classes           follows a class: methods, attributes, fields
    effects           counts what modules do when they are imported
    module_names      follows and counts names of loaded modules
    late_imports      follows imports inside functions, by the text of the files
    introspection     counts annotations and docstrings that code reads
    findings          what the walk has found, and what the files above ask of it
    canonical         values as text; the code that values hold
    value_kinds       the look at one value of any kind; for libraries `library_values`, for its attributes `state`
    class_statements  which statement made a class, and what it says
    statements        which statements of a module bind, change or use a name
    functions         what one function says: syntax, text, names that it reads
    annotations       which annotations do something
    source_files      files and their texts as they were loaded; `bytecode`: code objects without a text
    value_look        one value, one level deep
    scopes            names that each function and class reads, binds and changes; `expressions`: where one leads
    syntax            syntax as a text that is the same on each Python
    project           whose code it is, and versions of packages

Caches store the digests and texts of items. If the same code would get other ones, `fingerprint.FORMAT` must change.
"""
