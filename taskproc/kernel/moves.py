"""The states of a node, and one table of the legal moves between them."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

State = Literal["waiting", "due", "ready", "running", "done", "failed", "skipped"]
STATES: tuple[State, ...] = get_args(State)

# From, to: when. A node is born waiting. Nothing leaves failed and skipped.
MOVES: Mapping[tuple[State, State], str] = {
    ("waiting", "due"): "the last of its needs is done",
    ("waiting", "skipped"): "a need failed or was skipped",
    ("due", "done"): "judged fresh",
    ("due", "ready"): "judged stale",
    ("due", "waiting"): "a need was lost",
    ("ready", "running"): "taken",
    ("ready", "waiting"): "a need was lost",
    ("running", "done"): "settled as done, or as published elsewhere meanwhile",
    ("running", "failed"): "settled as failed, or what it lost is lost too often",
    ("running", "ready"): "given back",
    ("running", "due"): "another host has it, or what it lost is there again",
    ("running", "waiting"): "it lost a need, or stopped without an end after a need was lost",
    ("running", "skipped"): "it stopped without an end, and a lost need had failed meanwhile",
    ("done", "due"): "lost",
    ("done", "waiting"): "lost, and so is a need of it",
}
