"""The anchors that there are, by their providers' names."""

import os
import sys
from typing import Callable, Dict

from agent.anchors import Anchor, AnchorRefused
from agent.anchors.btrfs import Btrfs
from agent.anchors.lvm import Lvm

_MAKERS: Dict[str, Callable[[], Anchor]] = {"btrfs": Btrfs, "lvm": Lvm}

if sys.platform == "win32":
    from agent import win32
    from agent.anchors.vss import Vss
    from agent.anchors.vss_tools import tools_of

    _MAKERS = {"vss": lambda: Vss(tools_of(os.environ), win32.fixed_volumes)}


def make(provider: str) -> Anchor:
    """Give the anchor of ``provider``.

    Raises:
        AnchorRefused: there is none on this system.
    """
    maker = _MAKERS.get(provider)
    if maker is None:
        raise AnchorRefused("provider_missing", "There is no anchor {} on this system.".format(provider))
    return maker()
