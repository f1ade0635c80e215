"""The speaker: answers ARP for addresses, and agrees with the other speakers who answers for which."""
