"""The embedded lab: a Kubernetes cluster of plain processes in network namespaces.

The control plane and kube-proxy are the real programs; only the kubelet and the container runtime are stand-ins. A lab
is one process tree under a supervisor (`supervisor.py`), process 1 of a PID namespace with its own mount and network
namespaces: when the supervisor ends, for whatever reason, the kernel ends every process and frees every namespace, link
and mount. What the host side needs is in `lab.py`.
"""

from lbproof.lab.netns.lab import NetnsLab

__all__ = ["NetnsLab"]
