"""Jobs that need both spines, or none: what is run now and then by a person or a schedule."""
