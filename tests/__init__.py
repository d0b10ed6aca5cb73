"""What sidecard promises, test by test; the folders mirror the package."""
