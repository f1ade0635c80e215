"""Features of the kernel, each tried in temporary namespaces. Runs as a program with the standard library only.

Started by `unshare` in new network, mount and PID namespaces, so nothing that it creates outlives it or changes this
machine. Prints one line of JSON: feature → reason why it failed, empty when it worked.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys

IPV6 = "IPv6"
DUMMY = "dummy links"
"""Feature that no lab needs, but some implementations do: PureLB keeps its addresses on such a link."""
COMMANDS = {
    "veth": ["ip link add lbp-a type veth peer name lbp-b"],
    "bridge": ["ip link add lbp-br type bridge", "ip link set lbp-a master lbp-br"],
    "named network namespaces": [
        "mount -t tmpfs lbproof /run",
        "ip netns add lbp",
        "ip link set lbp-b netns lbp",
        "nsenter --net=/run/netns/lbp ip link set lo up",
    ],
    "iptables nat": [
        "iptables -t nat -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE",
        "iptables -t nat -A PREROUTING -p tcp -m addrtype --dst-type LOCAL -m comment --comment lbp -j REDIRECT",
        "iptables -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT",
        "iptables -t nat -A OUTPUT -m statistic --mode random --probability 0.5 -j ACCEPT",
    ],
    IPV6: [
        "ip -6 addr add fd00:192:168:172::1/64 dev lbp-a",
        "ip6tables -t nat -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE",
        "nft add table ip6 lbp",
        "nft add chain ip6 lbp nat { type nat hook postrouting priority 100 ; }",
        "nft add rule ip6 lbp nat masquerade",
    ],
    "nft nat": [
        "nft add table ip lbp",
        "nft add chain ip lbp nat { type nat hook postrouting priority 100 ; }",
        "nft add rule ip lbp nat masquerade",
    ],
    "connection tracking": ["conntrack -L"],
    DUMMY: ["ip link add lbp-dummy type dummy"],
}
"""Feature → commands that use it as the lab's nodes and kube-proxy do."""
FEATURES = ("AF_PACKET", *COMMANDS)


def programs(feature: str) -> list[str]:
    """Return the programs that are needed to try a feature."""
    return [command.partition(" ")[0] for command in COMMANDS.get(feature, [])]


def reason(command: str) -> str:
    """Return the reason why a command failed; empty when it worked."""
    try:
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"there is no program {command.partition(' ')[0]}"
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else f"{command}: {lines[-1] if lines else f'exit code {done.returncode}'}"


def packet_socket() -> str:
    """Return the reason why no raw packet socket can be opened; empty when it can."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806)).close()
    except OSError as error:
        return str(error)
    return ""


def main() -> None:
    """Try all features and print the reasons."""
    found = {"AF_PACKET": packet_socket()}
    for name, commands in COMMANDS.items():
        found[name] = next(filter(None, map(reason, commands)), "")
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
