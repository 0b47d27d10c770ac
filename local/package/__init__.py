"""`make package`: what is shipped, as files whose bytes follow from the sources alone."""
