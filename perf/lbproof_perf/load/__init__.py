"""How fast is each tier: Locust against the pod, the ClusterIP, the NodePort and the LoadBalancer's address.

Locust patches sockets and threads where it is imported, so it runs as a subprocess at the client, never here: `users`
is its locustfile, and `users`, `engine`, `shapes` and `recorder` are imported in that process alone. `tally` is what
both sides share.
"""
