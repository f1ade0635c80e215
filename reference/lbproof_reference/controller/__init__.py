"""The controller: gives addresses of pools to Services, and takes them back."""
