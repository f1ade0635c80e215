"""Speaker: answers for addresses by ARP and NDP, and elects one announcer per address with the other speakers."""
