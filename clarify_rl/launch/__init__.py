"""Where a run happens besides this process: several learners of one run."""
