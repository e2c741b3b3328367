"""The deployment files, checked against the schemas of the programs that read them."""
