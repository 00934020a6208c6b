"""Tables as they come: from a data frame to networks, and what is learned about the table on the way."""
