"""The kind lab: a cluster whose nodes are containers, by kind and pytest-kind, on any Docker engine of this machine.

Everything is as real as kind makes it, kubelet and container runtime included. The vantages are network namespaces of
containers, entered from this process, so the witnesses are the same as in the embedded lab. A lab has a bridge network
of its own, a supervisor (`supervisor.py`) that takes it down when its starter dies, and a label on all that it makes.
"""
