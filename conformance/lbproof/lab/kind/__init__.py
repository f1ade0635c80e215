"""The kind lab: a cluster of containers, by kind and pytest-kind, on a Docker engine of this machine.

The kubelet and the container runtime are real. The vantages are network namespaces of containers, in which probes are
started, so the witnesses are the same as in the embedded lab. A lab has its own bridge network, a supervisor
(`supervisor.py`) that takes it down when its starter dies, and a label on everything that it creates. `provider.py` is
the entry point.
"""
