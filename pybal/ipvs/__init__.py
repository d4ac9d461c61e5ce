"""The kernel's IPVS table: values, codec, differences, backends and the reconciler."""
