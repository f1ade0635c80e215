"""The witnesses (API, ARP, HTTP and TCP, captures), and the two ways to wait: `eventually` and `consistently`."""
