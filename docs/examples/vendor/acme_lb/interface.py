"""Addresses on an interface, and gratuitous ARP, without a program but the kernel: rtnetlink(7), packet(7)."""

import os
import socket
import struct
import time
from contextlib import suppress
from ipaddress import IPv4Address

NEW, DELETE = 20, 21
"""RTM_NEWADDR, RTM_DELADDR."""
REQUEST_ACK, CREATE_REPLACE = 0x5, 0x500
ADDRESS, LOCAL, CACHE_INFO = 1, 2, 6
"""Attributes IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO."""


class Interface:
    """Addresses have a lifetime: the kernel removes them when this program has ended or stands still."""

    def __init__(self, name: str) -> None:
        self.index, self.due = socket.if_nametoindex(name), 0.0
        self.has: set[int] = set()
        self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.wire.bind((name, 0))

    def keep(self, wanted: set[int], seconds: int, again: float) -> None:
        """Have these addresses alone, for `seconds`; renew and announce all of them every `again` seconds."""
        for address in self.has - wanted:
            self.has.discard(address)
            with suppress(OSError):  # its lifetime was over
                self.change(DELETE, address, 0)
        now = time.monotonic()
        for address in wanted if now >= self.due else wanted - self.has:
            try:
                self.change(NEW, address, seconds)
                self.has.add(address)
                self.announce(IPv4Address(address).packed)
            except OSError as error:  # it stops no other address
                print(error, flush=True)
        self.due = now + again if now >= self.due else self.due

    def change(self, kind: int, address: int, seconds: int) -> None:
        """`ip address replace ADDRESS/32 dev NAME valid_lft SECONDS preferred_lft SECONDS`, or `ip address del`."""
        ip, lifetime = IPv4Address(address).packed, struct.pack("=IIII", seconds, seconds, 0, 0)
        body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, self.index)
        for attribute, value in ((ADDRESS, ip), (LOCAL, ip), (CACHE_INFO, lifetime)):
            body += struct.pack("=HH", 4 + len(value), attribute) + value
        flags = REQUEST_ACK | (CREATE_REPLACE if kind == NEW else 0)
        self.netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags, 0, 0) + body)
        (error,) = struct.unpack_from("=i", self.netlink.recv(4096), 16)
        if error:
            raise OSError(-error, os.strerror(-error), str(IPv4Address(address)))

    def announce(self, ip: bytes) -> None:
        """Send an ARP request by broadcast with the address as sender and target (RFC 5227 section 3)."""
        mac = self.wire.getsockname()[4]
        arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac, ip, bytes(6), ip)
        self.wire.send(b"\xff" * 6 + mac + b"\x08\x06" + arp)
