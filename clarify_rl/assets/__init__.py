"""Files that the package ships: nothing here is code."""
