"""What is done for each case; a function takes the device and asserts."""
