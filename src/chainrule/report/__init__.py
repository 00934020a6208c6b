"""Pictures and the HTML report: everything that reads a network, and a training run, for people."""
