"""Which addresses a webhook may be posted to: public ones, and those that the app's settings name.

A policy's author must not reach through the app what only the app can reach: its own network, the metadata
service of its machine (169.254.169.254), and Azure's platform address, which looks public.
"""

import ipaddress
from collections.abc import Mapping, Sequence

from shared.settings import SettingError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Networks that webhooks may be posted to although they are not public, separated by commas.
NETWORKS_SETTING = "STILLFRAME_WEBHOOK_NETWORKS"

#: Azure's platform resources (WireServer, DNS, health probes): "What is IP address 168.63.129.16?".
_AZURE_PLATFORM = ipaddress.ip_address("168.63.129.16")
#: An IPv4 address in its last 32 bits (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class ForbiddenAddress(Exception):
    """A webhook leads to an address that is not public, and that no setting allows."""

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is not a public address; {NETWORKS_SETTING} may allow it")
        self.address = address


def read_networks(environment: Mapping[str, str]) -> tuple[Network, ...]:
    """Read which networks webhooks may reach although they are not public.

    Raises:
        SettingError: it is no list of networks.
    """
    named = [text.strip() for text in environment.get(NETWORKS_SETTING, "").split(",") if text.strip()]
    try:
        return tuple(ipaddress.ip_network(text) for text in named)
    except ValueError:
        expected = "networks like 10.1.0.0/16,127.0.0.1/32"
        raise SettingError(NETWORKS_SETTING, expected) from None


def check_address(text: str, allowed: Sequence[Network]) -> None:
    """Check an address that a connection is about to be made to.

    Raises:
        ForbiddenAddress: it is not public, and not in a network that is allowed.
    """
    address = _innermost(ipaddress.ip_address(text.partition("%")[0]))
    if any(address.version == network.version and address in network for network in allowed):
        return
    if not address.is_global or address.is_multicast or address == _AZURE_PLATFORM:
        raise ForbiddenAddress(text)


def _innermost(address: Address) -> Address:
    """Give the IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.sixtofour or address
