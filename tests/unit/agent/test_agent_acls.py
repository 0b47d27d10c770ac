"""Access lists of Windows, as it writes them: who may change a file or a folder."""

import pytest

from agent import acls
from agent.acls import CHANGES_FILE, CHANGES_FOLDER

OWN = "S-1-5-21-1-2-3-1001"


def who(sddl: str, mask: int = CHANGES_FILE) -> list[str]:
    return [writer.who for writer in acls.writers(sddl, mask, OWN)]


@pytest.mark.parametrize(
    ("sddl", "mask"),
    [
        ("O:BAG:SYD:PAI(A;;FA;;;SY)(A;;FA;;;BA)", CHANGES_FILE),
        ("O:SYG:SYD:AI(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;0x1200a9;;;BU)", CHANGES_FILE),
        ("O:BAG:SYD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICIIO;GA;;;CO)(A;OICI;FR;;;BU)", CHANGES_FOLDER),
        (f"O:{OWN}G:SYD:P(A;;FA;;;{OWN})", CHANGES_FOLDER),
        ("O:S-1-5-32-544G:S-1-5-18D:P(A;;FA;;;S-1-5-18)", CHANGES_FILE),
    ],
)
def test_what_only_administrators_may_change_is_private(sddl: str, mask: int) -> None:
    assert who(sddl, mask) == []


@pytest.mark.parametrize(
    ("sddl", "mask", "expected"),
    [
        ("O:BAG:SYD:AI(A;ID;FA;;;SY)(A;ID;0x1301bf;;;AU)", CHANGES_FILE, ["AU"]),
        ("O:BAG:SYD:AI(A;ID;FA;;;BA)(A;CIID;DCLCRPCR;;;BU)", CHANGES_FOLDER, ["BU"]),
        ("O:BAG:SYD:(A;;GW;;;WD)", CHANGES_FILE, ["WD"]),
        ("O:BAG:SYD:(A;;WO;;;IU)", CHANGES_FILE, ["IU"]),
        ("O:BAG:SYD:(A;;0x40;;;BU)", CHANGES_FOLDER, ["BU"]),
        ("O:S-1-5-21-9-9-9-1002G:SYD:P(A;;FA;;;SY)", CHANGES_FILE, ["S-1-5-21-9-9-9-1002"]),
        ("O:BAG:SYD:NO_ACCESS_CONTROL", CHANGES_FILE, ["everybody"]),
        ("O:BAG:SY", CHANGES_FILE, ["everybody"]),
    ],
)
def test_who_else_may_change_a_thing_is_named(sddl: str, mask: int, expected: list[str]) -> None:
    assert who(sddl, mask) == expected


def test_what_others_may_add_below_only_does_not_count_for_the_thing_itself() -> None:
    assert who("O:BAG:SYD:(A;;FA;;;BA)(A;OICIIO;GA;;;AU)", CHANGES_FOLDER) == []


@pytest.mark.parametrize("sddl", ["", "what", "O:BAG:SYD:(A;;FA)"])
def test_a_text_of_another_form_rules_nobody_out(sddl: str) -> None:
    with pytest.raises(acls.Unreadable):
        acls.writers(sddl, CHANGES_FILE, OWN)
