"""Parts that every lab provider may use: namespaces, short commands, vantages, node conditions, the API proxy."""
