"""Controller: assigns addresses of pools to Services, and releases them."""
