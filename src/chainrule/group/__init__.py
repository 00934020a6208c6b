"""Workers who train together: what they send each other, over MPI or torch.distributed."""
