"""HTTP/1.1 as a client: messages, one connection, requests with a deadline, TLS trust."""
