"""What episodes show: summaries of one checkpoint, paired differences between two, a comparison of several."""
