"""The status page: complete HTML tables; JavaScript only refreshes and filters them."""
