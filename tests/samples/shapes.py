"""The form of JSON: which members there are and of what types, whatever their values."""

from typing import Any

Shape = dict[str, str]


def shape_of(data: Any, path: str = "") -> Shape:
    """Give every path in data, and the type that lies there. A ``type`` that tells records apart is kept."""
    if isinstance(data, dict):
        shape = {path or ".": "object"}
        for name, value in data.items():
            if name == "type" and isinstance(value, str):
                shape[f"{path}.type"] = value
            else:
                shape |= shape_of(value, f"{path}.{name}")
        return shape
    if isinstance(data, list):
        shape = {path or ".": "list"}
        for item in data:
            shape |= shape_of(item, f"{path}[{_kind(item)}]")
        return shape
    return {path or ".": "null" if data is None else type(data).__name__}


def _kind(item: Any) -> str:
    return str(item.get("type", "")) if isinstance(item, dict) else ""


def lost(old: Shape, new: Shape) -> list[str]:
    """Give what a newer form has no longer, or has as something else."""
    return sorted(path for path, kind in old.items() if new.get(path) != kind)
