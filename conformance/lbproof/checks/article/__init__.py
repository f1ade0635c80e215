"""Claims of the article on which the project is based."""
