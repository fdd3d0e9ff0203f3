"""What the server says of itself: PICS, PIXIT, MICS and TICS, made from what it is built from."""
