"""An HTTP/1.1 client: messages, a connection, requests with a deadline, TLS trust."""
