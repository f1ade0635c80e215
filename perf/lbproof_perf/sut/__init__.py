"""Systems under test: implementations in one configuration, deployed in a lab, with their faults and their cost."""
