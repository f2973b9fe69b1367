"""What travels between processes, and how much of it."""
from __future__ import annotations

from taskproc.maps.transfer import SCALARS, send_item, send_value


def test_scalars_travel_as_they_are() -> None:
    """Nothing is pickled for them one by one."""
    scalars = [None, True, 1, 1.5, 1j, "text", b"bytes"]

    assert SCALARS == {*map(type, scalars)}
    assert scalars == [send_item(each) for each in scalars] == [send_value(each, "script") for each in scalars]


def test_plain_containers_need_no_cloudpickle() -> None:
    """They are pickled at once, as they are now."""
    item = [1, {"a": (2.0, b"x")}]

    (before,) = send_item(item)
    item.append(3)

    assert len(before) < 60
    assert send_item(item) != (before,)


def test_an_instance_of_a_scripts_class_goes_back_by_name() -> None:
    """Its class would be a thousand bytes for each value."""

    class Thing:
        pass

    Thing.__module__, Thing.__qualname__ = "__main__", "Thing"

    (content,) = send_value(Thing(), "script")

    assert b"script:Thing" in content
    assert len(content) < 200
