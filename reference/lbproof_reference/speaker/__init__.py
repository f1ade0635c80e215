"""Speaker: answers ARP requests for addresses, and elects one announcer per address with the other speakers."""
