"""Speed, measured beside a peer in one run. Started by `flisr bench`."""
