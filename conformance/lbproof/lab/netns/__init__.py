"""The embedded lab: a Kubernetes cluster of plain processes in network namespaces.

The control plane and kube-proxy are the real programs; the kubelet and the container runtime are replaced. A lab is one
process tree under a supervisor (`supervisor.py`), the init of a PID namespace with mount and network namespaces too:
when it ends, for whatever reason, the kernel ends all processes and frees all namespaces, links and mounts. `lab.py` is
the side of the suite, `provider.py` the entry point.
"""
