"""A node image for kind, made of what package registries hold: Debian's packages and Go modules.

`kindest/node` cannot be pulled where only registries of packages are reachable, and `kind build node-image` pulls its
base. This makes the same thing of the same parts: kind's own files, containerd, Kubernetes and the images that a node
needs before it can pull any. Everything is made in the cache; an image that is there is not made again.
"""
