"""Keys of groups from servers: what is said (``payloads``), who makes keys and for whom (``authority``), both ends."""
