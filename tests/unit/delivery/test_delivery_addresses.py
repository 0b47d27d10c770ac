"""Which addresses a webhook may reach."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.delivery.addresses import ForbiddenAddress, check_address, read_networks
from shared.settings import SettingError

V4 = st.ip_addresses(v=4)
PUBLIC = ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")
NOT_PUBLIC = (
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "168.63.129.16", "::1", "::", "fe80::1%eth0", "fd00::1", "ff02::1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a00:1::", "::ffff:168.63.129.16",
)  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_reached(address: str) -> None:
    check_address(address, ())


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_no_other_may_be_whatever_it_is_written_as(address: str) -> None:
    with pytest.raises(ForbiddenAddress, match="STILLFRAME_WEBHOOK_NETWORKS") as caught:
        check_address(address, ())
    assert caught.value.address == address


def test_a_network_that_the_settings_name_may_be_reached_and_nothing_beside_it() -> None:
    allowed = read_networks({"STILLFRAME_WEBHOOK_NETWORKS": " 10.1.0.0/16, ::1/128,127.0.0.1 "})
    for address in ("10.1.255.255", "::1", "127.0.0.1", "::ffff:10.1.0.1"):
        check_address(address, allowed)
    for address in ("10.2.0.0", "127.0.0.2", "169.254.169.254"):
        with pytest.raises(ForbiddenAddress):
            check_address(address, allowed)


@pytest.mark.parametrize("text", ["10.1.0.1/16", "internal", "10.0.0.0/33", "0x7f.0.0.1"])
def test_what_is_no_network_is_refused_by_the_settings_name(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        read_networks({"STILLFRAME_WEBHOOK_NETWORKS": text})
    assert caught.value.name == "STILLFRAME_WEBHOOK_NETWORKS"


@given(V4)
def test_an_ipv4_address_in_the_clothes_of_ipv6_is_judged_as_it_is(address: ipaddress.IPv4Address) -> None:
    def may(text: str) -> bool:
        try:
            check_address(text, ())
        except ForbiddenAddress:
            return False
        return True

    plain = may(str(address))
    assert may(f"::ffff:{address}") == plain
    assert may(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(address)))) == plain
    assert not plain or address.is_global
