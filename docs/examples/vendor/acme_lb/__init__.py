"""Acme LB: a LoadBalancer for one segment and IPv4. The same program runs on each node; one of them is the leader.

The leader, the holder of a Lease, assigns addresses and has all of them on its interface, so that its kernel answers
ARP. A pool is a key of one ConfigMap: `office: 192.0.2.10-192.0.2.19, 192.0.2.64/28`. A Service asks for an address by
an annotation, and stays Pending if it cannot have it. A Service with a class belongs to another implementation.

An assigned address stays with its Service, through restarts and moves, as long as a pool contains it. A bad pool or
Service harms no other. Clocks of nodes are never compared: a Lease has expired when it was not seen to change for
`DURATION`; before that its holder has stopped, or the kernel has removed the addresses, which have a lifetime.
"""
