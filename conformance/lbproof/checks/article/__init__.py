"""The article that the project began from, claim by claim."""
