"""pybal sources etcd."""
